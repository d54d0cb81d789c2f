/**
 * The report as one page that needs nothing else: no script, no font, no picture from elsewhere, which its content security policy says to
 * the browser as well. What the suites' files hold is escaped throughout.
 */
import type { BenchResult, SuiteName } from '../bench-result.ts';
import { assignStyles, type SeriesStyles } from '../plots/series-styles.ts';
import {
  cautions,
  circumstances,
  type Fact,
  formatInstant,
  inOrder,
  missingSuites,
  reportTitle,
  suiteWords,
} from '../report-words.ts';
import { type Html, html, trusted } from './html.ts';
import { plotFigure } from './plot-figure.ts';
import { inline, resultTable } from './result-table.ts';
import { styleSheet } from './style.ts';

const policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/** A whole document. `madeAt`: when the report is made, ISO 8601 in UTC. */
export function htmlReport(results: readonly BenchResult[], madeAt: string): string {
  const ordered = inOrder(results);
  const styles = assignStyles(ordered);
  const missing = missingSuites(results);
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${reportTitle}</title>
<style>${trusted(styleSheet)}</style>
</head>
<body>
<a class="skip" href="#report">To the figures</a>
<div class="page">
<header>
<h1>${reportTitle}</h1>
<p class="lead">Made ${formatInstant(madeAt)} from results that were measured when each section says. A dash is a figure that there is not.</p>
<nav aria-label="Sections"><ul class="contents">
${ordered.map((result, at) => contentsEntry(result, at))}
${missing.map((suite) => html`<li><a href="#${suite}">${suiteWords[suite].title}</a><span>not measured</span></li>`)}
</ul></nav>
${cautionList(cautions(ordered))}
</header>
<main id="report">
${ordered.map((result, at) => section(result, at, styles))}
${missing.map(missingSection)}
</main>
</div>
</body>
</html>
`;
  return page.text;
}

/** Two results of one suite may stand in one report. */
function idOf({ suite }: BenchResult, at: number): string {
  return `${suite}-${at + 1}`;
}

function contentsEntry(result: BenchResult, at: number): Html {
  return html`<li><a href="#${idOf(result, at)}">${suiteWords[result.suite].title}</a><span>${formatInstant(result.madeAt)}</span></li>`;
}

function cautionList(found: readonly string[]): Html {
  if (found.length === 0) return html``;
  return html`<ul class="cautions">${found.map((caution) => html`<li>${caution}</li>`)}</ul>`;
}

function section(result: BenchResult, at: number, styles: SeriesStyles): Html {
  const { title, measures } = suiteWords[result.suite];
  const id = idOf(result, at);
  return html`<section id="${id}" aria-labelledby="${id}-title">
<h2 id="${id}-title">${title}</h2>
<p class="measures">${measures}</p>
${facts(result)}
${result.tables.map(resultTable)}
${result.plots.map((plot, number) => plotFigure(`${id}-plot-${number + 1}`, plot, styles))}
${notes(result.notes)}
</section>`;
}

function facts(result: BenchResult): Html {
  const entries = circumstances(result).map(
    (fact) => html`<dt>${fact.label}</dt><dd>${factContent(fact)}</dd>`,
  );
  return html`<dl class="facts">${entries}</dl>`;
}

function factContent({ text, isCode, pairs }: Fact): Html {
  if (isCode === true) return html`<code>${text}</code>`;
  if (pairs === undefined || pairs.length === 0) return html`${text}`;
  return html`<ul class="settings">${pairs.map(([key, value]) => html`<li><b>${key}</b> ${value}</li>`)}</ul>`;
}

function notes(found: readonly string[]): Html {
  if (found.length === 0) return html``;
  return html`<h3>Notes</h3><ul class="notes">${found.map((note) => html`<li>${inline(note)}</li>`)}</ul>`;
}

function missingSection(suite: SuiteName): Html {
  const { title, measures, command } = suiteWords[suite];
  return html`<section id="${suite}" aria-labelledby="${suite}-title">
<h2 id="${suite}-title">${title}</h2>
<p class="measures">${measures}</p>
<p>Not measured. This measures it: <code>${command}</code></p>
</section>`;
}
