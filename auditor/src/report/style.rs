// SPDX-License-Identifier: Apache-2.0

//! How the page looks, on screen and on paper.

/// The page's style sheet. It names no file and no font that is not on the reader's machine.
pub(super) const STYLE: &str = "
:root { --ink: #1c2430; --soft: #5b6673; --line: #d5dae1; --paper: #fff; --shade: #f5f7f9;
  --valid: #2f7d4f; --erased: #6b7a8c; --altered: #b3261e; --forged: #8c1d6f; --disputed: #c2571a;
  --missing: #7a4b00; --unregistered: #a37b00; --not_covered: #4a5fc1; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-bottom: .25rem; border-bottom: 2px solid var(--ink); }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p { margin: .4rem 0; max-width: 48rem; }
.soft { color: var(--soft); }
.hash { font-family: ui-monospace, 'DejaVu Sans Mono', monospace; font-size: .82em; word-break: break-all; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; font-size: .92em; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); }
td.why { width: 45%; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.banner { border-left: 8px solid; padding: .8rem 1rem; margin: 1rem 0; background: var(--shade); font-size: 1.1rem; }
.banner.right { border-color: var(--valid); } .banner.wrong { border-color: var(--altered); }
.banner.not_covered { border-color: var(--not_covered); }
.chip { display: inline-block; padding: 0 .5em; border-radius: 1em; color: #fff; font-size: .85em; white-space: nowrap; }
.strip { display: flex; height: 18px; border: 1px solid var(--line); margin: .4rem 0; overflow: hidden; }
.strip span { min-width: 2px; }
.valid { background: var(--valid); } .erased { background: var(--erased); } .altered { background: var(--altered); }
.forged { background: var(--forged); } .disputed { background: var(--disputed); } .missing { background: var(--missing); }
.unregistered { background: var(--unregistered); } .not_covered:not(.banner) { background: var(--not_covered); }
.device { border: 1px solid var(--line); border-radius: 4px; padding: .8rem 1rem; margin: .8rem 0; }
.device h3 { margin-top: 0; }
.plot { width: 100%; height: auto; margin: .3rem 0 1rem; }
.plot .bar { fill: #3b6ea5; } .plot .grid { stroke: var(--line); }
.plot .axis { font: 11px system-ui, 'DejaVu Sans', sans-serif; fill: var(--soft); }
.nights .valid { fill: var(--valid); } .nights .erased { fill: var(--erased); } .nights .altered { fill: var(--altered); }
.nights .forged { fill: var(--forged); } .nights .disputed { fill: var(--disputed); } .nights .missing { fill: var(--missing); }
.nights .not_covered { fill: var(--not_covered); } .nights .unregistered { fill: var(--unregistered); }
.nights .none { fill: none; stroke: var(--line); } .nights .letter { font: bold 9px system-ui, 'DejaVu Sans', sans-serif; fill: #fff; }
caption { text-align: left; }
.sides { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; } .sides > div { background: var(--shade); padding: .5rem .7rem; }
@media (max-width: 40rem) { .sides { grid-template-columns: 1fr; } body { padding: 1rem; } }
@media print {
  @page { size: A4; margin: 16mm; }
  body { padding: 0; max-width: none; font-size: 10pt; }
  h2 { break-after: avoid; } h3 { break-after: avoid; } .device, tr, .plot, .banner { break-inside: avoid; }
  .long { break-inside: auto; } thead { display: table-header-group; } .plot:not(.nights) { max-height: 60mm; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
";
