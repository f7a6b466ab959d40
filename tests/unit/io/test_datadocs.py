"""A page of Great Expectations needs nothing from anywhere once it is kept."""

from __future__ import annotations

import re

from perennial.io.datadocs import offline

PAGE = """<!DOCTYPE html>
<html>
<head><title>Data documentation</title>
<link rel="stylesheet" href="https://stackpath.bootstrapcdn.com/bootstrap.min.css">
<link rel="shortcut icon" href="../../../static/images/favicon.ico"/>
<script src="https://code.jquery.com/jquery.js"></script><style>.container { padding-top: 50px }</style></head>
<body><nav>Home</nav>
<div class="container-fluid pt-4 pb-4"><h4>Expectation Validation Result</h4>
<label onclick="hideSucceededValidations()">Failed Only</label><script>
showAllValidations();
</script>
<h5 class="m-0">sales</h5><h6>Statistics</h6>
<a href="../../../../expectations/sales.html" >sales</a> <a href="#section-2">Next</a>
<div class="mt-1 table-responsive hide"><i class="fas fa-times text-danger" aria-hidden="true"></i>
<i class="fas fa-check-circle text-success" ></i> &lt;script&gt;alert(1)&lt;/script&gt;</div></div>
<footer>Great Expectations <img src="https://example.org/logo.png"></footer></body></html>"""


def test_nothing_is_fetched_and_nothing_runs():
    """No address of another host or page, no script, no handler; what a row says stays as it was escaped."""
    page = offline(PAGE, title="Checks of sales, 2026-03-01")

    assert re.findall(r"https?://|<script|onclick|<link|\.\./", page) == []
    assert '<a href="#section-2">Next</a>' in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_page_says_what_it_is_in_headings_without_gaps():
    """The first heading names source and day; icons become words."""
    page = offline(PAGE, title="Checks of <sales>, 2026-03-01")

    assert "<title>Checks of &lt;sales&gt;, 2026-03-01</title>" in page
    assert re.findall(r"<(h\d)", page) == ["h1", "h2", "h3"]
    assert '<span class="sign text-danger">not met</span>' in page
    assert '<span class="sign text-success">met</span>' in page
    assert page.count("<style>") == 1


def test_what_scrolls_can_be_reached_by_the_keyboard_and_the_page_has_a_main_part():
    """As the accessibility rules ask for."""
    page = offline(PAGE, title="x")

    assert 'class="mt-1 table-responsive hide" tabindex="0"' in page
    assert '<div role="main" class="container-fluid' in page
    assert '<html lang="en">' in page
