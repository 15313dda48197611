"""rename.py TOP MAP.tsv... : rename over a whole checkout, resolved by mypy's types."""
import ast, os, re, subprocess, sys, tomllib, pickle
from collections import defaultdict
from pathlib import Path
TOP = Path(sys.argv[1]).resolve(); MAPS = sys.argv[2:]; DRY = bool(os.environ.get("DRY"))
os.chdir(TOP)
sys.path[:0] = []
from mypy import build, nodes as N, types as T
from mypy.config_parser import parse_config_file
from mypy.options import Options
from mypy.find_sources import create_source_list
from mypy.fscache import FileSystemCache

apps = subprocess.run([sys.executable, "-m", "testbed.apps"], capture_output=True, text=True, check=True, env={**os.environ,"PYTHONPATH":str(TOP)}).stdout.strip().split(":")
os.environ["MYPYPATH"] = ":".join(apps)
options = Options()
parse_config_file(options, lambda: None, "pyproject.toml", sys.stdout, sys.stderr)
options.export_types = True; options.preserve_asts = True; options.incremental = False; options.cache_dir = os.devnull
options.check_untyped_defs = True; options.show_traceback = False; options.python_executable = sys.executable
options.mypy_path = [*apps, *options.mypy_path]
options.warn_unused_ignores = False
if hasattr(options, "num_workers"): options.num_workers = 0
if hasattr(options, "native_parser"): options.native_parser = False
fsc = FileSystemCache()
sources = create_source_list(options.files, options, fsc)
print("building", len(sources), flush=True)
import time; t0 = time.time()
result = build.build(sources, options, fscache=fsc)
print("built", round(time.time()-t0), "s; errors", len(result.errors), result.errors[:5], flush=True)
by_path = {}; mod_path = {}
for name, f in result.files.items():
    p = os.path.relpath(f.path, TOP) if f.path else None
    if p and not p.startswith("..") and p.endswith((".py", "mutate")) and not p.startswith(".venv"):
        by_path[p] = (name, f); mod_path[name] = p
types = result.types; print("types", len(types), flush=True); print(len(result.files), flush=True)

# ---- mapping
wanted = {}  # fullname-> new ; nested: (path, qual) -> new
nested = defaultdict(dict)
def log(*a): print(*a, flush=True)
def class_or_func(fullkey): pass
for m in MAPS:
    for i, l in enumerate(Path(m).read_text().splitlines(), 1):
        if not l.strip() or "\t" not in l: continue
        k, new = l.rstrip().split("\t")[:2]
        p, q = k.split(":")
        if p not in by_path: log("no such file in mypy:", k); continue
        old = q.rsplit(".", 1)[-1]
        if old == new: continue
        if not re.fullmatch(r"[A-Za-z_]\w*", new): log("bad", l); continue
        tree = ast.parse(Path(p).read_text()); scope = tree; infunc = None; ok = True
        parts = q.split(".")
        for part in parts[:-1]:
            nxt = next((x for x in ast.walk(scope) if isinstance(x, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and x.name == part), None)
            if nxt is None: ok = False; break
            if not isinstance(nxt, ast.ClassDef): infunc = nxt
            scope = nxt
        if not ok: log("no such scope", k); continue
        if infunc is not None: nested[p][q] = new
        else: wanted[f"{by_path[p][0]}.{q}"] = new

# ---- modules that are symbolic links to one another
alias = {}
for p, (name, f) in by_path.items():
    if os.path.islink(p):
        real = os.path.relpath(os.path.realpath(p), TOP)
        if real in by_path: alias[name] = by_path[real][0]
for full, new in list(wanted.items()):
    for a, real in alias.items():
        if full.startswith(real + "."): wanted[a + full[len(real):]] = new
# ---- classes: all TypeInfos of the project
infos = {}
def collect(names):
    for s in names.values():
        if isinstance(s.node, N.TypeInfo) and s.node.fullname not in infos and s.node.module_name in mod_path:
            infos[s.node.fullname] = s.node; collect(s.node.names)
for p, (name, f) in by_path.items(): collect(f.names)
def project(info): return info.module_name in mod_path
# ---- closure over overrides and protocols
protocols = [i for i in infos.values() if i.is_protocol]
def members(info): return {n for b in info.mro for n in b.names if b.fullname != "builtins.object" and b.fullname != "typing.Protocol"}
protomembers = {p.fullname: members(p) - {"__slots__", "__abstractmethods__"} for p in protocols}
implements = defaultdict(set)
for i in infos.values():
    mem = members(i)
    for p in protocols:
        if p is not i and protomembers[p.fullname] and protomembers[p.fullname] <= mem: implements[p.fullname].add(i.fullname)
sub = defaultdict(set)
for i in infos.values():
    for b in i.mro[1:]: sub[b.fullname].add(i.fullname)
dropped = {}
def drop(full, why):
    if full in wanted: dropped[full] = (wanted.pop(full), why); log("DROP", full, "->", dropped[full][0], ":", why)
def definer(info, name):
    for b in info.mro:
        if name in b.names: return b
    return None
changed = True
while changed:
    changed = False
    for full, new in sorted(wanted.items()):
        cls, _, old = full.rpartition(".")
        if cls not in infos: continue
        info = infos[cls]
        if old not in info.names: drop(full, "not in class"); changed = True; continue
        if old.startswith("__") and not old.endswith("__"): pass
        group = {full}; bad = None
        todo = [info]; seen = {info.fullname}
        while todo:
            x = todo.pop()
            for b in x.mro:
                if old in b.names and b.fullname not in seen:
                    if not project(b): bad = f"base {b.fullname}"; continue
                    seen.add(b.fullname); todo.append(b)
            for s in sub[x.fullname]:
                if old in infos[s].names and s not in seen: seen.add(s); todo.append(infos[s])
            if x.is_protocol:
                for s in implements[x.fullname]:
                    d = definer(infos[s], old)
                    if d and project(d) and d.fullname not in seen: seen.add(d.fullname); todo.append(d)
            for p in protocols:
                if old in protomembers[p.fullname] and x.fullname in implements[p.fullname]:
                    d = definer(p, old)
                    if d and not project(d): bad = f"protocol {d.fullname}"; continue
                    if d and d.fullname not in seen: seen.add(d.fullname); todo.append(d)
        if any(b.fallback_to_any for b in info.mro) and "fw" not in os.environ.get("ALLOW", ""):
            # a base that mypy does not know: allow only private names and names helpers chose (trust), warn
            pass
        for s in seen:
            for b in [*infos[s].mro, *(infos[y] for y in sub[s])]:
                if new in b.names: bad = f"{b.fullname} has {new} already"
        if bad:
            for s in seen: drop(f"{s}.{old}", bad)
            changed = True; break
        news = {wanted[f"{s}.{old}"] for s in seen if f"{s}.{old}" in wanted}
        if len(news) > 1:
            log("NOTE several names for overrides", full, news, "->", new)
        for s in seen:
            if wanted.get(f"{s}.{old}") != new:
                if len(seen) > 1: log("closure:", f"{s}.{old}", "->", new)
                wanted[f"{s}.{old}"] = new; changed = True
        if changed: break
for full, new in sorted(wanted.items()):
    mod, _, old = full.rpartition(".")
    if mod in result.files and new in result.files[mod].names: drop(full, f"{mod} has {new} already")

# ---- resolve
def target_of_node(node):
    if isinstance(node, N.Decorator): node = node.func
    if isinstance(node, (N.FuncDef, N.OverloadedFuncDef, N.TypeInfo, N.Var, N.TypeAlias)):
        return node.fullname
    return None
def instances(t):
    t = T.get_proper_type(t)
    if isinstance(t, T.Instance): yield t.type; 
    elif isinstance(t, T.UnionType):
        for x in t.items: yield from instances(x)
    elif isinstance(t, T.TupleType): yield from instances(t.partial_fallback)
    elif isinstance(t, T.TypeType): yield from instances(t.item)
    elif isinstance(t, T.CallableType) and t.is_type_obj(): yield from instances(t.ret_type)
    elif isinstance(t, T.Overloaded) and t.items and t.items[0].is_type_obj(): yield from instances(t.items[0].ret_type)
    elif isinstance(t, T.TypeVarType): yield from instances(t.upper_bound)
    elif isinstance(t, T.LiteralType): yield from instances(t.fallback)
    elif isinstance(t, T.TypedDictType): yield from instances(t.fallback)
def attr_targets(t, name):
    out = set(); known = False
    for i in instances(t):
        known = True
        d = definer(i, name)
        if d: out.add(f"{d.fullname}.{name}")
    return out, known
def lookup(expr, name):
    """targets of expr.name, known?"""
    if isinstance(expr, N.RefExpr) and isinstance(expr.node, N.MypyFile):
        s = expr.node.names.get(name)
        return ({target_of_node(s.node)} if s and s.node else {f"{expr.node.fullname}.{name}"}), True
    if isinstance(expr, N.RefExpr) and isinstance(expr.node, N.TypeInfo):
        d = definer(expr.node, name)
        return ({f"{d.fullname}.{name}"} if d else set()), True
    t = types.get(expr)
    if t is None: return set(), False
    return attr_targets(t, name)
oldnames = {f.rpartition(".")[2] for f in wanted}
edits = defaultdict(dict)   # path -> {(line, bytecol): (old, full)}
covered = defaultdict(dict)    # path -> {(end_line,end_col): known}
strs = defaultdict(list)
SKIP = {"node","info","type","unanalyzed_type","names","imports","mro","expanded","items_types","method_type","method_types","analyzed","alias","def_frame","inferred_lvalues","metaclass_type","original_def","original_first_item","var_","deco_line","unanalyzed_items","type_args","right_always","right_unreachable","defn"}
LINES = {p: Path(p).read_bytes().split(b"\n") for p in by_path}
def place(path, line, col, name):
    """The byte column of a name that the checker says to be at about this place."""
    text = LINES[path][line-1]; nm = name.encode()
    if text[col:col+len(nm)] == nm: return col
    found = [m.start() for m in re.finditer(rb"\b" + re.escape(nm) + rb"\b", text)]
    return min(found, key=lambda c: abs(c-col)) if found else col
class V:
    def __init__(self, path): self.path = path; self.seen = set()
    def walk(self, root):
        todo = [root]
        while todo:
            o = todo.pop()
            if isinstance(o, (list, tuple)): todo.extend(o); continue
            if isinstance(o, dict): todo.extend(o.values()); continue
            if not isinstance(o, N.Node) or isinstance(o, (N.TypeInfo, N.Var)) or id(o) in self.seen: continue
            if isinstance(o, N.MypyFile) and o is not root: continue
            self.seen.add(id(o))
            if isinstance(o, N.NameExpr): self.visit_name_expr(o); continue
            if isinstance(o, N.MemberExpr): self.visit_member_expr(o)
            elif isinstance(o, N.SuperExpr): self.visit_super_expr(o)
            elif isinstance(o, N.CallExpr): self.visit_call_expr(o)
            for c in type(o).__mro__:
                for a in getattr(c, "__mypyc_attrs__", ()):
                    if a in SKIP: continue
                    try: v = getattr(o, a)
                    except AttributeError: continue
                    if isinstance(v, (list, tuple, dict, N.Node)): todo.append(v)

    def visit_name_expr(self, o):
        if o.name in oldnames:
            full = target_of_node(o.node) if o.node else None
            if full is not None:
                pos = (o.line, place(self.path, o.line, o.column, o.name))
                covered[self.path][pos] = full
                if full in wanted and full.rpartition(".")[2] == o.name: edits[self.path][pos] = (o.name, full)
    def visit_member_expr(self, o):
        if o.name in oldnames and o.end_line:
            if o.node is not None and isinstance(o.expr, N.RefExpr) and isinstance(o.expr.node, N.MypyFile):
                full = target_of_node(o.node); tg, known = {full}, True
            else: tg, known = lookup(o.expr, o.name)
            pos = (o.end_line, place(self.path, o.end_line, o.end_column - len(o.name.encode()), o.name))
            covered[self.path][pos] = (tg, known)
            hit = {wanted[x] for x in tg if x in wanted}
            if len(hit) == 1 and all(x in wanted for x in tg if x): edits[self.path][pos] = (o.name, next(x for x in tg if x in wanted))
            elif hit: log("AMBIGUOUS", self.path, o.line, o.name, tg)
    def visit_super_expr(self, o):
        if o.name in oldnames and o.info:
            for b in o.info.mro[1:]:
                if o.name in b.names:
                    full = f"{b.fullname}.{o.name}"
                    pos = (o.end_line, place(self.path, o.end_line, o.end_column - len(o.name.encode()), o.name)); covered[self.path][pos] = ({full}, True)
                    if full in wanted: edits[self.path][pos] = (o.name, full)
                    break
    def visit_call_expr(self, o):
        c = o.callee
        cn = c.name if isinstance(c, (N.NameExpr, N.MemberExpr)) else ""
        if cn in ("setattr", "getattr", "delattr", "hasattr", "object") and len(o.args) >= 2 and isinstance(o.args[1], N.StrExpr) and o.args[1].value in oldnames:
            tg, known = lookup(o.args[0], o.args[1].value)
            hit = [x for x in tg if x in wanted]
            if hit: strs[self.path].append((o.args[1].line, o.args[1].column, o.args[1].value, hit[0]))
            elif not known: log("UNKNOWN STRING", self.path, o.line, o.args[1].value)
        if cn in ("setattr", "patch", "delattr") and o.args and isinstance(o.args[0], N.StrExpr) and "." in o.args[0].value:
            v = o.args[0].value
            if v in wanted: strs[self.path].append((o.args[0].line, o.args[0].column, v, v))
for p, (name, f) in by_path.items():
    try: V(p).walk(f)
    except Exception as e: log("visit", p, repr(e)[:200])
# ---- AST pass
unresolved = []
texts = {p: Path(p).read_bytes() for p in by_path}
def resolve_static(mod, parts):
    """module-level resolution of a dotted name in a module: fullname or None"""
    f = result.files.get(mod)
    if f is None: return None
    s = f.names.get(parts[0])
    if s is None or s.node is None: return None
    node = s.node
    for part in parts[1:]:
        if isinstance(node, N.MypyFile):
            s = node.names.get(part)
            if s is None or s.node is None: return None
            node = s.node
        elif isinstance(node, N.TypeInfo):
            d = definer(node, part)
            return f"{d.fullname}.{part}" if d else None
        else: return None
    return target_of_node(node)
def dotted(e):
    if isinstance(e, ast.Name): return [e.id]
    if isinstance(e, ast.Attribute):
        b = dotted(e.value); return [*b, e.attr] if b else None
    return None
def nametok(lines, node):
    """position of the name after def/class"""
    ln = lines[node.lineno-1]; m = re.compile(rb"\s*(?:async\s+)?(?:def|class)\s+").match(ln, node.col_offset)
    return (node.lineno, m.end())
def bindings(fn):
    out = set()
    a = fn.args
    for x in [*a.posonlyargs, *a.args, *a.kwonlyargs, *([a.vararg] if a.vararg else []), *([a.kwarg] if a.kwarg else [])]: out.add(x.arg)
    glob = set()
    def w(n):
        for c in ast.iter_child_nodes(n):
            if isinstance(c, ast.Global): glob.update(c.names)
            if isinstance(c, ast.Name) and isinstance(c.ctx, (ast.Store, ast.Del)): out.add(c.id)
            elif isinstance(c, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)): out.add(c.name); continue
            elif isinstance(c, (ast.Import, ast.ImportFrom)):
                for al in c.names: out.add((al.asname or al.name).split(".")[0])
            elif isinstance(c, ast.ExceptHandler) and c.name: out.add(c.name)
            elif isinstance(c, (ast.MatchAs, ast.MatchStar)) and c.name: out.add(c.name)
            if isinstance(c, ast.Lambda): continue
            w(c)
    for s in fn.body if isinstance(fn.body, list) else []: 
        w(ast.Module([s], []))
    return out - glob
conflict = set()
for p, (mod, f) in by_path.items():
    src = texts[p]; lines = src.split(b"\n")
    tree = ast.parse(src)
    E = edits[p]; C = covered[p]
    ispkg = p.endswith("__init__.py")
    def visit(node, qual, infunc, scopes, cls):
        for c in ast.iter_child_nodes(node):
            q2, f2, s2, c2 = qual, infunc, scopes, cls
            if isinstance(c, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                full = f"{mod}.{'.'.join([*qual, c.name])}"
                if not infunc and full in wanted: E[nametok(lines, c)] = (c.name, full)
                q = ".".join([*qual, c.name])
                if infunc and q in nested[p]:
                    E[nametok(lines, c)] = (c.name, "nested:" + nested[p][q])
                    encl = scopes[-1][0]
                    for x in ast.walk(encl):
                        if isinstance(x, ast.Name) and x.id == c.name: E[(x.lineno, x.col_offset)] = (c.name, "nested:" + nested[p][q])
                q2 = [*qual, c.name]
                if not isinstance(c, ast.ClassDef): f2 = True; s2 = [*scopes, (c, bindings(c))]; c2 = cls
                else: c2 = f"{mod}.{'.'.join(q2)}" if not infunc else None
                for d in c.decorator_list:
                    if isinstance(d, ast.Attribute) and d.attr in ("setter", "getter", "deleter") and isinstance(d.value, ast.Name) and not infunc:
                        full = f"{mod}.{'.'.join([*qual, d.value.id])}"
                        if full in wanted: E[(d.value.lineno, d.value.col_offset)] = (d.value.id, full)
            elif isinstance(c, ast.Lambda): s2 = [*scopes, (c, bindings(c))]; f2 = infunc
            elif isinstance(c, ast.ImportFrom):
                base = c.module or ""
                if c.level:
                    pk = mod.split("."); pk = pk if ispkg else pk[:-1]
                    pk = pk[:len(pk) - (c.level - 1)]; base = ".".join([*pk, *([c.module] if c.module else [])])
                for al in c.names:
                    if al.name not in oldnames: continue
                    full = resolve_static(base, [al.name]) or f"{base}.{al.name}"
                    if full in wanted and full.rpartition(".")[2] == al.name:
                        E[(al.lineno, al.col_offset)] = (al.name, full)
                        if not al.asname:
                            new = wanted[full]
                            if not infunc and new in f.names: conflict.add((full, f"{p}: import meets {new}"))
            elif isinstance(c, ast.Name) and c.id in oldnames:
                pos = (c.lineno, c.col_offset)
                local = any(c.id in b for _, b in scopes)
                if pos not in C and pos not in E and not local:
                    full = resolve_static(mod, [c.id])
                    if cls and not infunc and f"{cls}.{c.id}" in wanted: full = f"{cls}.{c.id}"
                    if full in wanted and full.rpartition(".")[2] == c.id: E[pos] = (c.id, full)
            elif isinstance(c, ast.Attribute) and c.attr in oldnames:
                pos = (c.end_lineno, c.end_col_offset - len(c.attr))
                got = C.get(pos)
                if pos not in E and (got is None or (isinstance(got, tuple) and not got[1])):
                    dn = dotted(c)
                    full = resolve_static(mod, dn) if dn and not any(dn[0] in b for _, b in scopes) else None
                    if full in wanted: E[pos] = (c.attr, full)
                    elif full is None: unresolved.append((p, c.lineno, c.attr, pos))
            elif isinstance(c, ast.Global):
                pass
            elif isinstance(c, ast.Assign) and isinstance(c.targets[0], ast.Name) and c.targets[0].id == "__all__" and not infunc and isinstance(c.value, (ast.List, ast.Tuple)):
                for e in c.value.elts:
                    if isinstance(e, ast.Constant) and e.value in oldnames:
                        full = resolve_static(mod, [e.value])
                        if full in wanted: strs[p].append((e.lineno, e.col_offset, e.value, full))
            if isinstance(c, ast.Name) and (c.lineno, c.col_offset) in E:
                full = E[(c.lineno, c.col_offset)][1]
                new = full[7:] if full.startswith("nested:") else wanted[full]
                for fn, b in scopes:
                    if new in b and not (full.startswith("nested:")): conflict.add((full, f"{p}:{c.lineno} local {new}"))
            visit(c, q2, f2, s2, c2)
    visit(tree, [], False, [], None)
FRAMEWORK = ("apps/deliberations/", "apps/mayan/", "apps/parapheur/")
loose = {a for p, ln, a, pos in unresolved if p.startswith(FRAMEWORK)}
for full in sorted(wanted):
    cls, _, old = full.rpartition(".")
    if cls in infos and old in loose and mod_path.get(infos[cls].module_name, "").startswith(FRAMEWORK):
        conflict.add((full, "attribute used on objects of unknown type"))
bad = {full for full, _ in conflict}
for full, why in sorted(conflict):
    log("CONFLICT", full, wanted.get(full), why)
# drop conflicting mappings wholly (a whole override group shares names, conflicts concern module-level names)
for full in bad: wanted.pop(full, None)
# ---- guesses: attributes whose type mypy does not know, of a name that is renamed the same way everywhere
symbols = defaultdict(set)
for i in infos.values():
    for n in i.names: symbols[n].add(f"{i.fullname}.{n}")
    for b in i.mro:
        if not project(b):
            for n in b.names: symbols[n].add(f"{b.fullname}.{n}")
common = set()
import pathlib, datetime, io, collections, threading, subprocess as sp, logging, http.client, email.message, queue
for t in (str, bytes, list, dict, set, int, float, tuple, pathlib.Path, datetime.datetime, datetime.date, datetime.timedelta, io.BytesIO, io.StringIO, re.Pattern, collections.Counter, collections.deque, threading.Thread, threading.Event, sp.Popen, sp.CompletedProcess, logging.Logger, logging.LogRecord, http.client.HTTPResponse, email.message.EmailMessage, queue.Queue, collections.OrderedDict): common |= set(dir(t))
modules_names = {n for f in result.files.values() if f.fullname in mod_path for n in f.names}
guessed = []
for p, ln, a, pos in list(unresolved):
    ks = symbols.get(a, set())
    if False and ks and a not in common and all(k in wanted for k in ks) and len({wanted[k] for k in ks}) == 1:
        edits[p][pos] = (a, next(iter(ks))); guessed.append((p, ln, a)); unresolved.remove((p, ln, a, pos))
for g in guessed: log("GUESS", *g)
# ---- apply
def newname(full): return full[7:] if full.startswith("nested:") else wanted.get(full)
count = 0; touched = []
docmap = defaultdict(dict)
for full, new in wanted.items():
    m, _, old = full.rpartition(".")
    pm = m if m in mod_path else next((x for x in [m.rpartition(".")[0], m.rpartition(".")[0].rpartition(".")[0]] if x in mod_path), None)
    if pm:
        d = docmap[mod_path[pm]]
        d[old] = new if d.get(old, new) == new else None
for p in by_path:
    out = []
    for (ln, col), (old, full) in edits[p].items():
        new = newname(full)
        if new: out.append((ln, col, old, new))
    for ln, col, old, full in strs[p]:
        if full in wanted:
            line = texts[p].split(b"\n")[ln-1]
            i = line.find(old.encode(), col)
            if i >= 0:
                if "." in old: out.append((ln, i + len(old) - len(full.rpartition('.')[2]), full.rpartition(".")[2], wanted[full]))
                else: out.append((ln, i, old, wanted[full]))
    lines = texts[p].split(b"\n")
    for ln, col, old, new in sorted(set(out), reverse=True):
        line = lines[ln-1]
        if line[col:col+len(old.encode())] != old.encode(): log("MISMATCH", p, ln, col, old, line[:100]); continue
        lines[ln-1] = line[:col] + new.encode() + line[col+len(old.encode()):]; count += 1
    new = b"\n".join(lines)
    for old, nn in docmap.get(p, {}).items():
        if nn and len(old.strip("_")) > 2: new = re.sub(rb"``" + old.encode() + rb"(\(\))?``", lambda m: b"``" + nn.encode() + (m[1] or b"") + b"``", new)
    if new != texts[p]:
        touched.append(p)
        if not DRY:
            ast.parse(new); Path(p).write_bytes(new)
files = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout.split("\n")
pat = {}
for full, new in wanted.items():
    mod, _, old = full.rpartition(".")
    pat[full] = new
rx = re.compile(r"(?<![\w./-])([a-z_][\w]*(?:\.\w+)+)(:\w+(?:\.\w+)*)?")
for name in files:
    if not name or name.endswith((".py", ".lock", ".json", ".svg", ".png", ".pdf")) or not os.path.isfile(name): continue
    try: text = Path(name).read_text("utf-8")
    except UnicodeDecodeError: continue
    def sub(m):
        whole = m[0]; path = whole.replace(":", ".")
        if path in pat:
            new = whole[:len(whole) - len(path.rpartition(".")[2])] + pat[path]; log("NONPY", name, whole, "->", new); return new
        return whole
    text2 = rx.sub(sub, text)
    if text2 != text and not DRY: Path(name).write_text(text2, "utf-8")
    # walks.md has Class.method after the module: handled by fullname; "from module import old" in templates
    for m in re.finditer(r"from ([\w.]+) import ([\w, ]+)", text):
        for o in m[2].split(","):
            if f"{m[1]}.{o.strip()}" in pat: log("NONPY IMPORT", name, m[0])
log(f"{len(wanted)} names, {count} places, {len(touched)} files; dropped {len(dropped)}, conflicts {len(bad)}")
byname = defaultdict(set)
for full, new in wanted.items(): byname[full.rpartition(".")[2]].add(new)
log("UNRESOLVED attributes of renamed names:")
mn = {f.rpartition(".")[2] for f in wanted if f.rpartition(".")[0] in infos}
for p, ln, a, pos in unresolved:
    if a in mn: log(f"  {p}:{ln} .{a} -> {sorted(byname[a])}")
Path("/tmp/last_map.txt").write_text("".join(f"{k}\t{v}\n" for k, v in sorted(wanted.items())))
