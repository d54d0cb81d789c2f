/** A table of a result as HTML: a title and an explanation, then the table in a box of its own that scrolls when it is wider than the page. Pure. */
import type { CellValue, Table } from '../bench-result.ts';
import { formatRows, isNumeric, missing, verdictOf } from '../format-cell.ts';
import { textParts } from '../markdown-text.ts';
import { type Html, html } from './html.ts';

/** A cell of more characters than this may break into lines. */
const longCell = 32;
/** A longer table scrolls in its box, under its head. */
const mostRows = 24;

export function resultTable(table: Table): Html {
  const texts = formatRows(table);
  const numeric = table.columns.map((_column, at) => isNumeric(table, at));
  const long = table.columns.map((_column, at) => texts.some((row) => (row[at] ?? '').length > longCell));
  const classOf = (at: number) => (numeric[at] ? 'figure' : long[at] ? 'words' : 'text');
  const head = table.columns.map(({ name, unit }, at) => {
    const shown = unit === undefined || unit === '' ? html`` : html` <span class="unit">${unit}</span>`;
    return html`<th scope="col" class="${classOf(at)}">${name}${shown}</th>`;
  });
  const body = texts.map((row, at) => {
    const cells = row.map((text, column) => {
      const content = cellContent(table.rows[at]?.[column] ?? null, text);
      return column === 0
        ? html`<th scope="row" class="${classOf(column)}">${content}</th>`
        : html`<td class="${classOf(column)}">${content}</td>`;
    });
    return html`<tr>${cells}</tr>`;
  });
  return html`<h3>${inline(table.title)}</h3>
<p class="explanation">${inline(table.explanation)}</p>
<div class="scroll${table.rows.length > mostRows ? ' tall' : ''}" role="region" aria-label="${table.title}" tabindex="0"><table>
<caption class="hidden">${table.title}</caption>
<thead><tr>${head}</tr></thead>
<tbody>${body}</tbody>
</table></div>`;
}

/** Text in which `code` stands between backticks. */
export function inline(text: string): Html[] {
  return textParts(text).map((part) => (part.isCode ? html`<code>${part.text}</code>` : html`${part.text}`));
}

function cellContent(value: CellValue, text: string): Html {
  if (text === missing)
    return html`<span class="absent" aria-hidden="true">–</span><span class="hidden">no figure</span>`;
  const verdict = verdictOf(value);
  return verdict === null ? html`${inline(text)}` : html`<span class="${verdict}">${inline(text)}</span>`;
}
