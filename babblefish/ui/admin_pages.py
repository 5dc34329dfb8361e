"""HTML of the sign-in page and of the page that sets the password. Pure functions.

Forms that work without scripts; every text that comes from outside is escaped.
"""

from __future__ import annotations

import html

from fastapi.responses import HTMLResponse

from babblefish.ui.admin_door import Way
from babblefish.ui.host.guard import PLAIN_HEADERS
from babblefish.ui.password import State
from babblefish.ui.password_rules import LONGEST, SHORTEST

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title} · BabbleFish host</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/web/admin-login.css">
</head>
<body>
<main>
<p class="brand">BabbleFish</p>
<h1>{heading}</h1>
{body}
</main>
</body>
</html>
"""
_USER = '<input name="username" value="admin" autocomplete="username" hidden>'
"""tells password managers that the two pages are about one account"""
_NO_HOST = "Only here to join a meeting? Scan the QR code that the host shows."
_UNREADABLE = (
    '<p class="note">The stored password cannot be read. Sign in with a code, then choose a new '
    "password.</p>"
)


def sign_in(way: Way, state: State, problem: str = "", status: int = 200) -> HTMLResponse:
    """The form for the password, where there is one, or for the code from the terminal."""
    if way == "password" and state == "set":
        form = f"""<form method="post" action="/admin-login">
{_USER}{_password("password", "Password", "current-password", problem, focus=True)}
{_alert(problem)}
<button>Sign in</button>
</form>
<p class="aside"><a href="/admin-login?with=code">Forgot it? Sign in with a code</a></p>"""
    else:
        back = '<p class="aside"><a href="/admin-login">Use the password</a></p>\n'
        form = f"""{_UNREADABLE if state == "unreadable" else ""}<form method="post" \
action="/admin-login">
<label for="code">Admin code</label>
<input id="code" name="code" required autofocus maxlength="40" placeholder="ABCD-EFGH"
 autocomplete="one-time-code" autocapitalize="characters" autocorrect="off" spellcheck="false"
 enterkeyhint="go" aria-describedby="hint{" problem" if problem else ""}">
<p class="hint" id="hint">The terminal in which BabbleFish runs shows it. Each code works once;
the terminal then shows a new one.</p>
{_alert(problem)}
<button>Sign in</button>
</form>
{back if state == "set" else ""}"""
    form += f'\n<p class="aside">{_NO_HOST}</p>'
    return _answer("Sign in", "Host sign-in", form, problem, status)


def set_password(
    state: State, needs_current: bool, problem: str = "", status: int = 200
) -> HTMLResponse:
    """The form for a new password. needs_current: the old one is asked for, too."""
    first = state == "none"
    heading = "Choose a password" if first else "Change the password"
    why = (
        "With it you can sign in again without the terminal."
        if first
        else "Every other browser that is signed in as host is signed out."
    )
    skip = "Not now" if first else "Keep the password"
    current = ""
    if needs_current:
        current = _password("current", "Current password", "current-password", problem, focus=True)
    hint = f"At least {SHORTEST} characters. Four unrelated words are good and easy to remember."
    new = _password(
        "new", "New password", "new-password", problem, focus=not needs_current, hint=hint
    )  # fmt: skip
    forgot = ""
    if needs_current:
        forgot = (
            '<p class="aside">Forgot it? Sign out, then sign in with a code from the terminal.</p>'
        )
    form = f"""<p class="lead">{why}</p>
<form method="post" action="/admin-password">
{_USER}{current}
{new}
{_password("again", "New password again", "new-password", problem)}
{_alert(problem)}
<button>Save password</button>
</form>
<p class="aside"><a href="/admin/">{skip}</a></p>
{forgot}"""
    return _answer(heading, heading, form, problem, status)


def _password(
    name: str, label: str, complete: str, problem: str, focus: bool = False, hint: str = ""
) -> str:
    described = [f"{name}-hint"] if hint else []
    described += ["problem"] if problem and focus else []
    about = f' aria-describedby="{" ".join(described)}"' if described else ""
    below = f'\n<p class="hint" id="{name}-hint">{html.escape(hint)}</p>' if hint else ""
    return f"""<label for="{name}">{label}</label>
<input id="{name}" name="{name}" type="password" required maxlength="{LONGEST}"
 autocomplete="{complete}" enterkeyhint="go"{" autofocus" if focus else ""}{about}>{below}"""


def _alert(problem: str) -> str:
    if not problem:
        return ""
    return f'<p class="problem" id="problem" role="alert">{html.escape(problem)}</p>'


def _answer(title: str, heading: str, body: str, problem: str, status: int) -> HTMLResponse:
    title = f"Error: {title}" if problem else title
    page = _PAGE.format(title=title, heading=heading, body=body)
    return HTMLResponse(page, status, PLAIN_HEADERS)
