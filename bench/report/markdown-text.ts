/**
 * Text from results, made safe to stand in Markdown: what would be markup there is shown as it is, but for `code` between backticks,
 * which every form of the report knows. Pure.
 */
import { printable } from './printable.ts';

export interface TextPart {
  readonly text: string;
  readonly isCode: boolean;
}

/** Splits at pairs of backticks; one without a partner is an ordinary character. On one line. */
export function textParts(text: string): TextPart[] {
  const parts = printable(text)
    .replaceAll(/\s+/g, ' ')
    .split(/`([^`]+)`/);
  return parts.flatMap((part, at) => (part === '' ? [] : [{ text: part, isCode: at % 2 === 1 }]));
}

/** For a heading, a paragraph or a list: what would begin another block at the start of its line is shown. */
export function markdownText(text: string): string {
  return inlineText(text)
    .replace(/^(\s*)([#>+-]+|=+$)(?=\s|$)/, '$1\\$2')
    .replace(/^(\s*\d+)([.)])(?=\s|$)/, '$1\\$2');
}

/** For a cell of a table, where a bar would end the cell, in code too. */
export function markdownCell(text: string): string {
  return inlineText(text).replaceAll('|', '\\|');
}

function inlineText(text: string): string {
  return textParts(text)
    .map((part) => (part.isCode ? `\`${part.text}\`` : escapeMarkdown(part.text)))
    .join('');
}

/** On one line, fenced by more backticks than it holds. */
export function codeSpan(text: string): string {
  const line = printable(text).replaceAll(/\s+/g, ' ');
  const longest = Math.max(0, ...Array.from(line.matchAll(/`+/g), ([run]) => run.length));
  const fence = '`'.repeat(longest + 1);
  return longest === 0 ? `${fence}${line}${fence}` : `${fence} ${line} ${fence}`;
}

/** Only what would be read as markup: text should read well on a terminal too. An underscore within a word is none. */
function escapeMarkdown(text: string): string {
  return text
    .replaceAll(/[\\`*[\]]/g, '\\$&')
    .replaceAll(/(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])/g, '\\_')
    .replaceAll(/<(?=[A-Za-z/!?])/g, '\\<')
    .replaceAll(/&(?=#?\w+;)/g, '\\&')
    .replaceAll('~~', '\\~\\~');
}
