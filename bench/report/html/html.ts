/**
 * HTML by a template tag that escapes whatever is put in, unless it is HTML from this tag already: so that no text of a result can become
 * markup. Pure.
 */

import { printable } from '../printable.ts';

/** Text that is markup. Made by `html` and `trusted` alone. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Hole = Html | readonly Html[] | string | number;

export function html(strings: TemplateStringsArray, ...holes: readonly Hole[]): Html {
  return new Html(
    strings.map((text, at) => `${text}${at < holes.length ? fill(holes[at] ?? '') : ''}`).join(''),
  );
}

/** For markup of our own making. */
export function trusted(markup: string): Html {
  return new Html(markup);
}

function fill(hole: Hole): string {
  if (hole instanceof Html) return hole.text;
  if (typeof hole === 'object') return hole.map(({ text }) => text).join('\n');
  return escapeHtml(String(hole));
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export function escapeHtml(text: string): string {
  return printable(text).replaceAll(/[&<>"']/g, (character) => entities[character] ?? '');
}
