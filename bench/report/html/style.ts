/**
 * The style sheet of the report: system fonts, one measure for text, figures that stand under one another. Light and dark by what the reader's
 * system asks for; the colours of series reach a contrast of 3 to 1 against either, text 4.5 to 1.
 */

const light = `
  color-scheme: light;
  --surface: #ffffff; --raised: #f6f7f9; --ink: #1a1d23; --muted: #59616e; --rule: #dfe3e8; --shade: #1a1d2333;
  --good: #17653a; --bad: #a8201f; --link: #1b55a8;
  --series-1: #1f5fbf; --series-2: #c4570a; --series-3: #0b7f74; --series-4: #a8348c;
  --series-5: #8a6d00; --series-6: #5b6b7d; --series-7: #c02b3a; --series-8: #4c7d1e;`;

const dark = `
  color-scheme: dark;
  --surface: #14171c; --raised: #1c2027; --ink: #e8eaee; --muted: #a3acb9; --rule: #323843; --shade: #000000b0;
  --good: #6cd394; --bad: #ff8f8a; --link: #8cb8ff;
  --series-1: #6ea6ff; --series-2: #ffa561; --series-3: #4fd1c1; --series-4: #ec8bd4;
  --series-5: #dcbc3f; --series-6: #a7b5c6; --series-7: #ff7f8a; --series-8: #a2d065;`;

export const styleSheet = `
:root {${light}
}
@media (prefers-color-scheme: dark) {
  :root {${dark}
  }
}
@media print {
  :root {${light}
  }
}
*, *::before, *::after { box-sizing: border-box; }
body {
  margin: 0; background: var(--surface); color: var(--ink);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  -webkit-text-size-adjust: 100%;
}
.page { max-width: 1200px; margin: 0 auto; padding: 64px 40px 120px; }
h1, h2, h3 { line-height: 1.25; text-wrap: balance; overflow-wrap: anywhere; }
h1 { font-size: 2.25rem; font-weight: 680; letter-spacing: -0.022em; margin: 0 0 12px; }
h2 { font-size: 1.625rem; font-weight: 650; letter-spacing: -0.015em; margin: 0 0 8px; }
h3 { font-size: 1.0625rem; font-weight: 640; margin: 56px 0 4px; }
p { margin: 0 0 12px; max-width: 72ch; overflow-wrap: anywhere; }
a { color: var(--link); text-underline-offset: 0.15em; }
code { font: 0.875em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; overflow-wrap: anywhere; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 3px; border-radius: 3px; }
.lead, .measures, .explanation, .missing { color: var(--muted); }
.lead { font-size: 1.0625rem; }
.skip { position: absolute; left: -9999px; }
.skip:focus { left: 16px; top: 16px; background: var(--surface); padding: 8px 12px; }
.hidden {
  position: absolute; width: 1px; height: 1px; margin: -1px; padding: 0; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; border: 0;
}
.contents { margin: 40px 0 0; padding: 0; list-style: none; border-top: 1px solid var(--rule); }
.contents li { display: flex; flex-wrap: wrap; gap: 2px 24px; justify-content: space-between; padding: 10px 0; border-bottom: 1px solid var(--rule); }
.contents a { font-weight: 600; }
.contents span { color: var(--muted); font-variant-numeric: tabular-nums; }
.cautions { margin: 32px 0 0; padding: 14px 20px 14px 38px; background: var(--raised); border-left: 3px solid var(--series-2); border-radius: 0 6px 6px 0; }
.cautions li { max-width: 72ch; }
section { margin-top: 104px; padding-top: 40px; border-top: 2px solid var(--ink); }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 6px 28px; margin: 28px 0 0; font-size: 0.9375rem; }
.facts dt { color: var(--muted); }
.facts dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.settings { display: flex; flex-wrap: wrap; gap: 2px 20px; margin: 0; padding: 0; list-style: none; }
.settings b { font-weight: 400; color: var(--muted); }
.scroll {
  overflow-x: auto; margin: 16px 0 0; border-top: 1px solid var(--rule); border-bottom: 1px solid var(--rule);
  /* A shade at an edge behind which there is more: the covers move with the content, the shades stay. */
  background:
    linear-gradient(to right, var(--surface) 40%, transparent) left / 56px 100% no-repeat local,
    linear-gradient(to left, var(--surface) 40%, transparent) right / 56px 100% no-repeat local,
    linear-gradient(to right, var(--shade), transparent) left / 18px 100% no-repeat scroll,
    linear-gradient(to left, var(--shade), transparent) right / 18px 100% no-repeat scroll;
}
.tall { max-height: 42rem; overflow-y: auto; }
.tall thead th { position: sticky; top: 0; background: var(--surface); box-shadow: 0 1px 0 var(--rule); }
table { border-collapse: collapse; width: 100%; font-size: 0.9375rem; line-height: 1.45; font-variant-numeric: tabular-nums lining-nums; }
th, td { padding: 9px 18px 9px 0; text-align: left; vertical-align: baseline; white-space: nowrap; }
th:last-child, td:last-child { padding-right: 2px; }
thead th { vertical-align: bottom; white-space: normal; text-wrap: balance; color: var(--muted); font-weight: 550; font-size: 0.8125rem; border-bottom: 1px solid var(--rule); }
thead .figure { min-width: 7.5ch; }
thead .unit { font-weight: 400; white-space: nowrap; }
tbody th { font-weight: 500; }
tbody tr + tr > * { border-top: 1px solid var(--rule); }
.figure { text-align: right; }
.words { white-space: normal; min-width: 24ch; max-width: 60ch; overflow-wrap: anywhere; }
.absent { color: var(--muted); }
.good { color: var(--good); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
.plot { margin: 20px 0 0; }
.plot svg { display: block; max-width: 100%; height: auto; font-variant-numeric: tabular-nums; }
.plot .narrow { display: none; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 24px; margin: 12px 0 8px; padding: 0; list-style: none; font-size: 0.875rem; }
.legend li { display: flex; gap: 8px; align-items: baseline; min-width: 0; overflow-wrap: anywhere; }
.legend svg { flex: none; align-self: center; }
.marks { margin: 8px 0 0; padding: 0; list-style: none; font-size: 0.875rem; columns: 2; column-gap: 40px; }
.marks li { display: grid; grid-template-columns: 1.2em 8ch minmax(0, 1fr); gap: 0 10px; break-inside: avoid; overflow-wrap: anywhere; }
.marks b { font-weight: 600; }
.marks .at { color: var(--muted); text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.notes { padding-left: 20px; margin: 12px 0 0; }
.notes li { max-width: 72ch; margin-bottom: 8px; overflow-wrap: anywhere; }
@media (max-width: 760px) {
  .page { padding: 32px 16px 72px; }
  h1 { font-size: 1.75rem; }
  h2 { font-size: 1.375rem; }
  section { margin-top: 72px; padding-top: 28px; }
  .facts { grid-template-columns: minmax(0, 1fr); gap: 0; }
  .facts dd { margin-bottom: 10px; }
  .marks { columns: 1; }
  .words { min-width: 26ch; }
  .plot .wide { display: none; }
  .plot .narrow { display: block; }
}
@media print {
  .page { max-width: none; padding: 0; }
  .scroll { overflow: visible; max-height: none; }
  .plot, table { break-inside: avoid; }
}
`;
