"""Tables, verdicts and figures from a results tree; `python -m repro report` puts them on one page.

`tables` declares and builds the papers' tables, `claims` judges the papers' claims, `figures` and
`style` draw, `html` writes the page. Nothing here trains or times: what is shown was written under
`results/<scale>/` by a stage of the pipeline, or is printed in a paper.
"""
