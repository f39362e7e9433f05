"""The page's style sheet: system type, one accent, light and dark, readable from 360 px up."""

CSS = """
:root{color-scheme:light dark;--page:#fff;--panel:#f5f6f8;--ink:#15191f;--soft:#56606e;--rule:#dfe3e8;
--dense:#7c8796;--dense-ink:#56606e;--accent:#0b6a8f;--area:#0b6a8f1f;--good:#0f6b3d;--warn:#9a4a00;--fail:#b3211c;
--warn-page:#fff4e5}
@media (prefers-color-scheme:dark){:root{--page:#101418;--panel:#191f25;--ink:#e8ebef;--soft:#a3aebb;--rule:#2d353e;
--dense:#8591a0;--dense-ink:#a3aebb;--accent:#5cc0e8;--area:#5cc0e826;--good:#6fd19b;--warn:#f3b15f;--fail:#ff8f87;
--warn-page:#33240f}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;-webkit-text-size-adjust:100%}
main{max-width:752px;margin:0 auto;padding:28px 16px 56px}
header p,.how,.quiet{color:var(--soft)}
h1{font-size:1.75rem;line-height:1.2;margin:.1em 0 .25em;overflow-wrap:anywhere;letter-spacing:-.01em}
h2{font-size:1.15rem;margin:2em 0 .7em;padding-top:1.2em;border-top:1px solid var(--rule)}
h3{font-size:1rem;margin:1.4em 0 .3em;overflow-wrap:anywhere}
p{margin:.5em 0;overflow-wrap:anywhere}
.how + .how{margin-top:.3em}
.quiet{font-size:.9375rem}
.eyebrow{margin:0;font-size:.875rem}
.how{font-size:.875rem;margin-top:.9em}
.verdict{margin:1.4em 0;padding:14px 16px;border-radius:8px;background:var(--panel);border-left:5px solid var(--dense)}
.verdict strong{display:block;font-size:1.125rem;line-height:1.35}
.verdict p{margin:.3em 0 0}
.verdict.good{border-color:var(--good)}
.verdict.warn{border-color:var(--warn);background:var(--warn-page)}
.verdict.fail{border-color:var(--fail);background:var(--fail);color:#fff}
.verdict.fail strong{font-size:1.375rem}
@media (prefers-color-scheme:dark){.verdict.fail{background:#a1211c;border-color:var(--fail)}}
.tiles{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:1px;margin:0;background:var(--rule);
border:1px solid var(--rule);border-radius:8px;overflow:hidden}
.tiles div{background:var(--page);padding:12px 14px}
.tiles dt{font-size:.875rem;color:var(--soft)}
.tiles dd{margin:0}
.tiles .figure{font-size:1.625rem;line-height:1.25;font-weight:600;letter-spacing:-.01em;
font-variant-numeric:tabular-nums}
.tiles .under{font-size:.8125rem;line-height:1.4;color:var(--soft)}
.figure.good,.good-text{color:var(--good);fill:var(--good)}
.figure.warn,.warn-text{color:var(--warn);fill:var(--warn)}
.figure.fail,.fail-text{color:var(--fail);fill:var(--fail)}
figure{margin:.6em 0}
svg{display:block;width:100%;height:auto;overflow:visible;font-size:13px;font-family:inherit}
.wide{display:none}
.narrow{max-width:440px}
svg text{fill:var(--ink)}
svg .tick{fill:var(--soft);font-size:12px}
svg .label{font-weight:600;paint-order:stroke;stroke:var(--page);stroke-width:3px;stroke-linejoin:round}
svg .value{font-variant-numeric:tabular-nums}
svg .dense-text{fill:var(--dense-ink)}
svg .optimized-text{fill:var(--accent)}
svg .good-text{fill:var(--good)}svg .warn-text{fill:var(--warn)}svg .plain-text{fill:var(--soft)}
.grid{stroke:var(--rule);stroke-width:1}
.axis{stroke:var(--soft);stroke-width:1}
.zero{stroke:var(--soft);stroke-width:1.5;stroke-dasharray:3 3}
.line{fill:none;stroke-width:2;stroke-linejoin:round}
.line.dense{stroke:var(--dense);stroke-dasharray:5 4}
.line.optimized{stroke:var(--accent);stroke-width:2.5}
.area{fill:var(--area)}
.bar.dense{fill:var(--dense)}.bar.optimized{fill:var(--accent)}
.tail{stroke:var(--soft);stroke-width:1.5}
.interval{stroke:var(--accent);stroke-width:3;stroke-linecap:round}
.dot{fill:var(--accent);stroke:var(--page);stroke-width:2}
.scroll{overflow-x:auto;margin:.6em 0}
table{border-collapse:collapse;width:100%;font-size:.9375rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:6px 14px 6px 0;border-bottom:1px solid var(--rule);vertical-align:top}
th{font-weight:600;color:var(--soft);font-size:.875rem}
td:last-child,th:last-child{padding-right:0}
.wrap td{overflow-wrap:anywhere}
.facts td:first-child{width:46%}
pre{background:var(--panel);padding:12px 14px;border-radius:8px;overflow-x:auto;font-size:.8125rem;line-height:1.5}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
code{font-size:.875em;overflow-wrap:anywhere}
pre code{font-size:inherit;overflow-wrap:normal}
ul{padding-left:1.15em;margin:.4em 0}
li{margin:.15em 0;overflow-wrap:anywhere}
summary{cursor:pointer;color:var(--accent);padding:4px 0}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
a{color:var(--accent)}
footer{margin-top:3em;font-size:.875rem;color:var(--soft)}
@media (min-width:640px){main{padding:48px 16px 80px}.tiles{grid-template-columns:repeat(4,minmax(0,1fr))}
.wide{display:block}.narrow{display:none}h1{font-size:2.125rem}}
@media print{.wide{display:block}.narrow{display:none}.verdict.fail{-webkit-print-color-adjust:exact;
print-color-adjust:exact}}
"""
