/** Text from results as any form of the report can hold it. Pure. */

/** Without the control characters that HTML and SVG may not hold and a terminal would obey, and with whole surrogate pairs. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.toWellFormed().replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g, '\ufffd');
}
