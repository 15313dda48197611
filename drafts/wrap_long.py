"""wrap_long.py FILES: split strings that make a line too long (after ruff format)."""
import ast, sys, re, subprocess
LIM = 120
def fix(p):
    src = open(p, encoding="utf-8").read(); lines = src.split("\n")
    bad = [i+1 for i, l in enumerate(lines) if len(l) > LIM and "noqa" not in l and not l.lstrip().startswith("#")]
    if not bad: return False
    tree = ast.parse(src); parents = {}
    for n in ast.walk(tree):
        for c in ast.iter_child_nodes(n): parents[c] = n
    done = False; edits = []
    for ln in bad:
        best = None
        for n in ast.walk(tree):
            if isinstance(n, (ast.JoinedStr, ast.Constant)) and (isinstance(n, ast.JoinedStr) or isinstance(n.value, str)) and n.lineno <= ln <= n.end_lineno:
                if isinstance(parents.get(n), ast.JoinedStr) or isinstance(parents.get(n), ast.FormattedValue): continue
                if isinstance(parents.get(n), ast.Expr): continue
                if best is None or (n.end_col_offset-n.col_offset) > (best.end_col_offset-best.col_offset): best = n
        if best is None: continue
        # find the string token on that very line
        l = lines[ln-1]
        toks = [m for m in re.finditer(r'''([rfbRFB]{0,2})"((?:[^"\\]|\\.)*)"''', l)]
        toks = [m for m in toks if m.end()-m.start() > 25]
        if not toks: continue
        m = max(toks, key=lambda m: m.end()-m.start())
        if '"""' in l or m[1].lower().startswith("b"): continue
        body = m[2]; over = len(l) - LIM
        want = min(len(body)-5, LIM - m.start() - len(m[1]) - 8 - 4)
        if m.end() > LIM + 10: want = min(want, LIM - m.start() - 8)
        else: want = min(want, len(body) - over - 4)
        # a space outside braces
        depth = 0; cut = None
        for i, c in enumerate(body):
            if c == "{": depth += 1
            elif c == "}": depth -= 1
            elif c == " " and depth == 0 and 5 < i < max(want, 12): cut = i + 1
        if cut is None: continue
        a, b = body[:cut], body[cut:]
        pre = m[1]
        def lit(x):
            if "f" in pre.lower() and "{" not in x: return pre.lower().replace("f", "") + '"' + x + '"'
            return pre + '"' + x + '"'
        new = f"{lit(a)} {lit(b)}"
        par = parents.get(best)
        multi = best.lineno != best.end_lineno
        if not multi and not isinstance(par, (ast.Call, ast.List, ast.Tuple, ast.Set, ast.Dict)): new = f"({new})"
        if isinstance(par, (ast.List, ast.Set, ast.Dict)) and not multi: new = f"({new})" if not new.startswith("(") else new
        edits.append((ln, m.start(), m.end(), new))
    for ln, a, b, new in edits:
        l = lines[ln-1]; lines[ln-1] = l[:a] + new + l[b:]; done = True
    out = "\n".join(lines)
    try: t2 = ast.parse(out)
    except SyntaxError as e: print("syntax", p, e); return False
    if ast.dump(t2) != ast.dump(tree): print("differs", p)
    if done: open(p, "w", encoding="utf-8").write(out)
    return done
for p in sys.argv[1:]: fix(p)
