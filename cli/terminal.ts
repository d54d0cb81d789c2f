/**
 * What a command says: results on the output stream, so that they can be piped, and everything about its progress on the
 * error stream.
 */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Columns as wide as their widest cell, two blanks between them; cells that are numbers are aligned to the right. */
export function table(rows: readonly (readonly (string | number | null)[])[]): string {
  const texts = rows.map((row) => row.map((cell) => (cell === null ? '-' : String(cell))));
  const widths: number[] = [];
  for (const row of texts) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  }
  const lines = texts.map((row, at) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return typeof rows[at]?.[column] === 'number' ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd(),
  );
  return lines.join('\n');
}
