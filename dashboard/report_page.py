"""The frame of the report: one HTML page with its style; `$names` are filled in by `dashboard.report`."""

from __future__ import annotations

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:">
<title>$story: model against reality</title>
<style>
:root { --ink: #1f2933; --soft: #5d6673; --line: #dfe3e8; --good: #1d7d5f; --bad: #b8324a; --calm: #5d6673; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: white; line-height: 1.5;
  font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 40px 32px 64px; }
.kicker { color: var(--soft); margin: 0; }
h1 { font-size: 30px; line-height: 1.2; margin: 4px 0 12px; letter-spacing: -0.01em; }
h1 .sign { display: inline-block; min-width: 1.1em; }
.agrees h1 .sign { color: var(--good); }
.differs h1 .sign { color: var(--bad); }
.unknown h1 .sign { color: var(--calm); }
h2 { font-size: 20px; margin: 44px 0 10px; padding-top: 14px; border-top: 1px solid var(--line); break-after: avoid; }
h3 { font-size: 15px; margin: 24px 0 4px; break-after: avoid; }
.effort { color: var(--soft); }
.tiles { display: flex; flex-wrap: wrap; gap: 14px; margin: 22px 0 4px; }
.tile { flex: 1 1 200px; border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; break-inside: avoid; }
.tile .value { font-size: 28px; line-height: 1.3; font-variant-numeric: tabular-nums; }
.label, footer { color: var(--soft); font-size: 13px; }
.figure { break-inside: avoid; margin: 6px 0; }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th { text-align: left; font-weight: 600; color: var(--soft); }
th, td { padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
tr { break-inside: avoid; }
footer { margin-top: 48px; }
@page { size: A4; margin: 14mm; }
@media print {
  body { font-size: 12px; }
  main { max-width: none; padding: 0; }
  h1 { font-size: 24px; }
  table { font-size: 10.5px; }
  th, td { padding: 3px 8px 3px 0; }
}
</style>
<script>$plotly</script>
</head>
<body>
<main class="$verdict_class">
<p class="kicker">Tonnage · model against reality · $when</p>
<h1><span class="sign">$sign</span>$headline</h1>
<p>$explanation</p>
<p class="effort">$effort</p>
<div class="tiles">$tiles</div>
<h2>In time</h2>
<p>Lines are the middle of all runs, bands their range.</p>
$overlays
<h2>Metric by metric</h2>
<p>Each mark is how far simulated is from real, with its 90 % interval; grey is the margin within which a difference
counts as none. Only physics metrics are drawn: shared code agrees with itself in both worlds.</p>
$differences
$errors
<p class="label">★ headline metric, named before the run. Equivalent: the interval lies within the margin; different:
outside; undecided: more repeats would tell. Noise is what two real runs of this story differ by.</p>
$courses
$extras
<h2>What was run where</h2>
$runs
<footer>Made by Tonnage. This file needs no network and no server.</footer>
</main>
<script>
const figures = () => document.querySelectorAll('.plotly-graph-div');
const A4_WIDTH_PX = 688;
window.addEventListener('beforeprint', () => figures().forEach(f => Plotly.relayout(f, {width: A4_WIDTH_PX})));
window.addEventListener('afterprint', () => figures().forEach(f => Plotly.relayout(f, {width: null, autosize: true})));
</script>
</body>
</html>
"""
