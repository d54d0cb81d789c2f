/** The whole report as Markdown: the words and tables of the HTML, without its plots. Pure. */
import type { BenchResult } from './bench-result.ts';
import { codeSpan, markdownText } from './markdown-text.ts';
import { renderNotes, renderTable } from './render-markdown.ts';
import {
  cautions,
  circumstances,
  formatInstant,
  inOrder,
  missingSuites,
  reportTitle,
  suiteWords,
} from './report-words.ts';

export function markdownReport(results: readonly BenchResult[], madeAt: string): string {
  const parts = [
    `# ${reportTitle}\n`,
    `Made ${formatInstant(madeAt)} from results that were measured when each section says. A dash is a figure that there is not; the plots are in \`report.html\`.\n`,
    renderNotes(cautions(results)),
    ...inOrder(results).map(section),
    ...missingSuites(results).map((suite) => {
      const { title, measures, command } = suiteWords[suite];
      return `## ${title}\n\n${measures}\n\nNot measured. This measures it: \`${command}\`\n`;
    }),
  ];
  return parts.filter((part) => part !== '').join('\n');
}

function section(result: BenchResult): string {
  const { title, measures } = suiteWords[result.suite];
  const facts = circumstances(result).map(
    ({ label, text, isCode }) => `- ${label}: ${isCode ? codeSpan(text) : markdownText(text)}\n`,
  );
  return [
    `## ${title}\n`,
    `${measures}\n`,
    facts.join(''),
    ...result.tables.map((table) => renderTable(table, '###')),
    result.notes.length === 0 ? '' : `### Notes\n\n${renderNotes(result.notes)}`,
  ]
    .filter((part) => part !== '')
    .join('\n');
}
