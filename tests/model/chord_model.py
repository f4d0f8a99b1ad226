# The model is read beside docs/protocol.md, and dense on purpose: it fits on a few screens.
# fmt: off
# ruff: noqa: C408, C901, E501, E701, E731, I001, PLR0911, PLR0912, PYI024, RET503, RUF005, RUF021
"""Explicit-state model checker for the chord (fan-in) protocol of docs/protocol.md.

    python -m tests.model.chord_model            properties, options and mutants, as tables (minutes)
    python -m tests.model.chord_model NAME       one named rule set, with the shortest trace of each violation

The defaults of `Rules` are what `kvbackends.contract.stepwise` and `kvbackends.protocol.chord` do: snapshot, verify
that every part is listed, claim by a compare_and_set on its version, read the values, look whether
the claim is still held, publish, tombstone, discard.  One thing is coarser here: a part is recorded and counted
in one step.  The code counts in a second one, by a compare_and_set of the control record; and it does not verify
again where it takes a broken claim over.  `tests/protocol` runs the code itself, call by call.

Breadth-first over every interleaving, so each trace is a shortest one.  A store operation is one
atomic step; a worker may crash before any step; any write may time out and be retried while its
first copy takes effect at once, later or never ("ghost"); messages are redelivered after a crash
and also while the earlier delivery still runs; a lease may end at any moment.
"""
import gc
import sys
import time
from collections import Counter, deque, namedtuple
from multiprocessing import Pool
from typing import NamedTuple

class Rules(NamedTuple):
    """The protocol: every field is one rule; the defaults are the code's."""
    order: str = "verify-claim-read-renew"   # or read-claim, claim-read-renew, claim-read, no-claim
    takeover: str = "part"         # an arrival may take over a claim of its own part at once; or "none"; or "look":
                                   # a visit without a part, too (no property is lost, but a livelock is possible)
    loser: str = "hold"            # sees complete, claimed by another part: hold | ack | timer | message
    lease: bool = True             # a claim may be taken over after it was unchanged for a lease
    store: str = "last"            # SUCCESS is stored after the dispatch; "first": before the arrival
    size_arrives: bool = True      # set_chord_size writes the size, then arrives as a part itself
    size_write: str = "cas"        # or "set": unconditional
    size_order: str = "write-arrive"   # or arrive-write
    false_reread: bool = True      # a False compare_and_set is resolved by reading again
    end: str = "done-store-discard"    # or done-discard, discard-done, discard (no tombstone), done (no discard)
    done_write: str = "any"        # after a publish: write done for any claim; "own": only for the own one
    late_discards: bool = True     # an arrival that finds the tombstone discards what it recreated
    claim_fences: bool = True      # the claim is a compare_and_set on the version looked at, not a set
    first_wins: bool = True        # a part is written once
    identity: bool = True          # parts are counted by identity, not by delivery
    compare: str = ">="            # count against size; mutant "=="
    verify: bool = True            # the bulk read decides whether the chord is complete
    nonce: bool = True             # a claim names the delivery, not only the part
    look_first: bool = False       # size and claim are read before the arrival instead of after it
    ack_early: bool = False        # acknowledge before the dispatch ends
    add: str = "slot"              # add_to_chord: slot | count (a plain counter) | after (after arriving)
    finite_ttl: bool = True        # bookkeeping never lives for ever
    unknown: bool = True           # only opening begins a barrier: a visit that finds none fails the chord

class World(NamedTuple):
    """The bounds on the environment's faults."""
    parts: int = 2
    workers: int = 2
    redeliveries: int = 1          # per message
    crashes: int = 2
    ghosts: int = 1                # ambiguous writes
    shared_ack: bool = True        # an ack by one delivery ends all (Redis, SQS); False: per delivery (AMQP)
    success_ack: bool = True       # Celery acks a killed child's message when SUCCESS is stored
    adds: bool = False             # part 0 enlarges the chord
    expire: str = ""               # "tombstone", "barrier", "control": may expire at any time, once
    dup_publisher: bool = True     # the publisher is redelivered as well

# control record: size known (0/1), ids registered for the one slot, owner (part, delivery, renewals), done
Ctl = namedtuple("Ctl", "size extra owner done", defaults=(0, (), None, False))
# one delivery at work: message = part, delivery number, next step, count seen, control seen, parts read,
# started after the tombstone?, holds an unacknowledged message? (no: a timer in memory), in its arrival?
Proc = namedtuple("Proc", "m inc pc cnt snap vec late own new", defaults=(0, None, (), False, True, True))
# bar: part -> 0 or the value (delivery + 1) that stands; msg: (sent, acked, started, owed) per message;
# ghost: a write under way; ever, stored: bits per part that arrived, whose SUCCESS is stored; first: first
# values; why: excuses for a second publish; crashes, ghosts, expiry: what may still happen; bad: verdict;
# failed: the chord was failed because its barrier was gone
State = namedtuple("State", "bar ctl msg procs ghost pubs ever first stored why crashes ghosts expiry bad failed",
                   defaults=("", False))

FORGET = dict(cnt=0, snap=None, vec=(), late=False)
DEAD_VARIABLES = {"store": FORGET, "store early": dict(FORGET, new=False), "ack": dict(FORGET, new=False), "discard": dict(FORGET, new=False), "add": FORGET, "send": FORGET,
                  "done": dict(cnt=0, vec=(), late=False, new=False), "publish": dict(cnt=0, new=False), "arrive": dict(vec=()),
                  "look": dict(snap=None), "hold": dict(new=False), "read": dict(new=False), "renew": dict(new=False)}

def initial(r, w):
    n = w.parts + 1 + (w.redeliveries + 1 if w.adds else 0)
    msg = tuple((m <= w.parts, False, 0, 0) for m in range(n + (r.loser == "message")))
    return State((0,) * n, Ctl() if r.unknown else None, msg, (), None, 0, 0, (0,) * n, 0, "", w.crashes, w.ghosts, bool(w.expire))

class Model:
    def __init__(self, r, w):
        self.r, self.w, self.size_part, self.starts = r, w, w.parts, w.redeliveries + 1
        self.recover = len(initial(r, w).bar)          # index of the recovery message, if any
    # -- the protocol's own tests -------------------------------------------------------------
    def need(self, ctl):
        slots = len(ctl.extra) if self.r.add == "count" else bool(ctl.extra)
        return self.w.parts + self.r.size_arrives + slots
    def full(self, ctl, bar):
        """The check of the bulk read: all header parts, and one id of the slot."""
        if self.r.add == "count": return sum(map(bool, bar)) >= self.need(ctl)
        x = self.w.parts + 1
        return all(bar[:self.w.parts]) and (not ctl.extra or any(bar[x + k] for k in ctl.extra))
    # -- effects ------------------------------------------------------------------------------
    def effect(self, s, op):
        """Apply one store write; return the new state and its reply."""
        kind, a = op[0], op[1:]
        if kind == "arrive":
            m, v = a
            if s.bar[m] and self.r.first_wins: return s, None
            bar = s.bar[:m] + (v,) + s.bar[m + 1:]
            first = s.first if s.first[m] else s.first[:m] + (v,) + s.first[m + 1:]
            return s._replace(bar=bar, first=first, ever=s.ever | 1 << m), None
        if kind == "cas":
            old, new = a
            if s.ctl != old: return s, False
            return self.excuse(s, old, new)._replace(ctl=new), True
        if kind == "set": return s._replace(ctl=a[0]), True
        return s._replace(bar=(0,) * len(s.bar)), None          # discard
    def op(self, s, p):
        """The next write of a delivery, or None if its next step is no write."""
        c, me = s.ctl or Ctl(), (p.m, p.inc if self.r.nonce else 0, 0)
        if p.pc == "arrive" and p.m < len(s.bar): return ("arrive", p.m, p.inc + 1)
        if p.pc == "size":
            return ("set", Ctl(size=1)) if self.r.size_write == "set" else ("cas", s.ctl, c._replace(size=1))
        if p.pc == "add" and not (c.owner or c.done):
            ids = c.extra + (p.inc,) if p.inc not in c.extra or self.r.add == "count" else c.extra
            return ("cas", s.ctl, c._replace(extra=ids))
        if p.pc == "claim":
            new = p.snap._replace(owner=me)
            return ("cas", p.snap, new) if self.r.claim_fences else ("set", new)
        if p.pc == "renew" and self.r.order == "claim-read-renew": return ("cas", p.snap, p.snap._replace(owner=me[:2] + (p.snap.owner[2] + 1,)))
        if p.pc == "done":
            if self.r.done_write == "own" and (not s.ctl or s.ctl.owner != p.snap.owner): return None
            return ("cas", s.ctl, c._replace(done=True, owner=None))
        return ("discard",) if p.pc == "discard" else None
    # -- one step of one delivery -------------------------------------------------------------
    def put(self, s, i, p, **kw):
        """The state with delivery i at p (or ended), without the values that p no longer needs."""
        if p and p.pc in DEAD_VARIABLES: p = p._replace(**DEAD_VARIABLES[p.pc])
        procs = s.procs[:i] + ((p,) if p else ()) + s.procs[i + 1:]
        return s._replace(procs=procs, **kw)
    def begin(self, s):
        """The first step of a dispatch."""
        if self.r.order == "verify-claim-read-renew": return "verify" if self.r.verify else "claim"
        return "claim" if self.r.order.startswith("claim") else "read"
    def finish(self, p):
        """Nothing (more) to dispatch for this delivery."""
        return "ack" if self.r.store == "first" or p.m >= self.size_part else "store"
    def step(self, s, i):
        p, r, pc = s.procs[i], self.r, s.procs[i].pc
        go = lambda s, pc, **kw: [self.put(s, i, p._replace(pc=pc, **kw))]
        if pc == "store":
            return go(s._replace(stored=s.stored | 1 << p.m), "arrive" if r.store == "first" else "ack")
        if pc == "store early": return go(s._replace(stored=s.stored | 1 << p.m), "discard")
        if pc == "ack":
            return [self.put(self.acked(s, p.m) if p.own else s, i, None)]
        if pc == "send":
            x = self.w.parts + 1 + p.inc
            msg = self.setmsg(s, x, (True,) + s.msg[x][1:])
            return go(s._replace(msg=msg), "look" if r.add == "after" else "arrive")
        if pc == "look": return self.look(s, i, p, go)
        if pc == "hold":
            out = [] if s.ctl == p.snap else go(s, "look")
            if r.lease and s.ctl == p.snap:                     # unchanged for a lease: take it over
                out += go(s, self.begin(s))
            return out
        if pc == "timer": return go(s, "look")
        if pc == "verify":                                      # are all parts listed?  values are read later
            if not self.full(p.snap, s.bar): return go(s, "look", cnt=0)
            return go(s, "read" if self.owned(p, p.snap) else "claim")
        if pc == "read" and r.order == "verify-claim-read-renew": return go(s, "renew", vec=s.bar)
        if pc == "renew" and r.order == "verify-claim-read-renew":
            return go(s, "publish", snap=s.ctl) if self.owned(p, s.ctl) else go(s, "look", vec=())
        if pc == "publish" and r.verify and r.order == "verify-claim-read-renew" and not self.full(p.snap, p.vec):
            return go(s, "done")                                # parts have expired: the error path
        if pc == "read":
            if r.verify and not (p.snap and self.full(p.snap, s.bar)): return go(s, "look", cnt=0)
            nxt = {"read-claim": "claim", "no-claim": "publish", "claim-read": "publish",
                   "claim-read-renew": "renew"}[r.order]
            return go(s, nxt, vec=s.bar)
        if pc == "publish": return go(self.publish(s, p), "discard" if r.end[:2] == "di" else "done")
        if pc in ("size", "add") and s.ctl is None and r.unknown: return go(s, "look" if pc == "size" else "send")
        o = self.op(s, p)
        if pc == "add" and o is None: return go(s, "send")
        if pc == "done" and o is None: return go(s, self.finish(p))
        s2, reply = self.effect(s, o)
        if pc == "arrive":
            cnt = sum(map(bool, s2.bar))
            if not r.identity: cnt = min(sum(x[2] for x in s.msg[:len(s.bar)]), len(s.bar))   # deliveries so far
            if r.size_order == "arrive-write" and p.m == self.size_part: return go(s2, "size", cnt=cnt)
            if r.look_first: return self.look(self.put(s2, i, p), i, p._replace(cnt=cnt), go, p.snap)
            if r.add == "after" and self.w.adds and p.m == 0: return go(s2, "add", cnt=cnt)
            return go(s2, "look", cnt=cnt)
        if pc == "size":
            if r.size_order == "arrive-write": return go(s2, "look" if p.cnt > self.w.parts else self.finish(p))
            return go(s2, "arrive" if r.size_arrives else "ack")
        if pc == "add": return go(s2, "send")
        if pc in ("claim", "renew"):
            if not reply: return go(s, "look" if r.false_reread else self.finish(p))
            nxt = {"claim-read-renew": "publish" if pc == "renew" else "read", "claim-read": "read",
                   "verify-claim-read-renew": "read"}
            return go(s2, nxt.get(r.order, "publish"), snap=s2.ctl)
        if pc == "done" and r.end == "done-store-discard":      # the result does not wait for the discard
            return go(s2, "discard" if self.finish(p) == "ack" else "store early")
        if pc == "done": return go(s2, "discard" if r.end == "done-discard" else self.finish(p))
        return go(s2, "done" if r.end == "discard-done" and not (s.ctl and s.ctl.done) else self.finish(p))
    def owned(self, p, c):
        """This delivery holds the claim."""
        return bool(c and c.owner and c.owner[:2] == (p.m, p.inc if self.r.nonce else 0))
    def gone(self, s, p):
        """Fail the chord, unless the part's own SUCCESS is stored or the body has begun (here: was published)."""
        # The publisher stands for the last header task, which is sent after the size is written.
        return s._replace(failed=s.failed or not (s.pubs or s.stored >> p.m & 1))
    def look(self, s, i, p, go, seen=0):
        """Read the control record and decide."""
        r, c = self.r, s.ctl if seen == 0 else seen
        if c is None and r.unknown and not r.look_first: return go(self.gone(s, p), self.finish(p), snap=c)
        if c and c.done: return go(s, "discard" if r.late_discards else self.finish(p), snap=c)
        if not c or not c.size or p.cnt < self.need(c) or (r.compare == "==" and p.cnt != self.need(c)):
            return go(s, self.finish(p), snap=c)
        if r.ack_early and p.own:
            return [self.put(self.acked(s, p.m), i, p._replace(pc="look", own=False))]
        begin = self.begin(s)
        if c.owner is None or r.order == "no-claim": return go(s, begin, snap=c)
        if self.owned(p, c) and p.vec: return go(s, "publish", snap=c)   # an ambiguous claim was mine
        if c.owner[0] == p.m and (r.takeover == "look" or r.takeover == "part" and p.new): return go(s, begin, snap=c)
        if r.loser == "hold" or (r.loser == "message" and p.m == self.recover): return go(s, "hold", snap=c)
        if r.loser == "timer":
            return [self.put(self.acked(s, p.m), i, p._replace(pc="timer", own=False, snap=c))]
        if r.loser == "message": s = s._replace(msg=self.setmsg(s, self.recover, (True,) + s.msg[self.recover][1:]))
        return go(s, self.finish(p), snap=c)
    def excuse(self, s, old, new):
        """A claim is taken over: record whether its holder was still alive."""
        if not (old and old.owner and new.owner) or old.owner[:2] == new.owner[:2]: return s
        alive = any((q.m, q.inc) == old.owner[:2] for q in s.procs)
        mark = ("P" if old.owner[0] == new.owner[0] else "L") if alive else ""
        return s._replace(why=self.mark(s, mark))
    def publish(self, s, p):
        n, x, vec, bad = self.w.parts, self.w.parts + 1, p.vec, ""
        hdr = all(s.ever >> k & 1 for k in range(n))
        ext = not self.w.adds or any(s.ever >> k & 1 for k in range(x, len(s.bar)))
        if not (hdr and ext): bad = "P1 published early"
        elif not all(vec[:n]) or (self.w.adds and not any(vec[x:])): bad = "P2 published without a part's value"
        elif not self.w.expire and vec[:n] != s.first[:n]: bad = "P2 two runs may publish different values"
        elif p.late and self.w.expire != "tombstone":
            bad = "P5 published by a delivery that started after the tombstone"
        elif s.pubs and not s.why and not self.w.expire: bad = "P4 second publish without crash or broken claim"
        return s._replace(pubs=min(s.pubs + 1, 3), bad=bad)
    # -- the environment ----------------------------------------------------------------------
    def setmsg(self, s, m, v): return s.msg[:m] + (v,) + s.msg[m + 1:]
    def acked(self, s, m): return s._replace(msg=self.setmsg(s, m, (True, True) + s.msg[m][2:]))
    def mark(self, s, letters): return "".join(sorted(set(s.why + letters)))
    def can_start(self, s, m):
        """'first', 'owed' (must come), 'dup' (may come while the earlier one runs) or ''."""
        sent, acked, started, owed = s.msg[m]
        if not sent or started >= self.starts: return ""
        alive = any(q.m == m and q.own for q in s.procs)
        if self.w.shared_ack: return "" if acked else "first" if not started else "dup" if alive else "owed"
        if not started or owed: return "first" if not started else "owed"
        return "dup" if alive and started + owed < self.starts else ""
    def first_pc(self, m):
        if m == self.recover: return "look"
        if m == self.size_part: return "arrive" if self.r.size_order == "arrive-write" else "size"
        if self.r.look_first: return "prelook"
        if self.r.store == "first" and m < self.w.parts: return "store"
        return "add" if self.w.adds and m == 0 and self.r.add != "after" else "arrive"
    def successors(self, s):
        w, c = self.w, s.ctl
        for m in range(len(s.msg)):
            how = self.can_start(s, m)
            if how == "dup" and m == self.size_part and not w.dup_publisher: continue
            if how and len(s.procs) < w.workers:
                sent, acked, st, owed = s.msg[m]
                p = Proc(m, st, self.first_pc(m), 99 * (m == self.recover), late=bool(s.ctl and s.ctl.done),
                         new=m != self.recover)
                if p.pc == "prelook": p = p._replace(pc="arrive", snap=s.ctl)
                yield f"deliver m{m}.{st}{' (duplicate)' * (how == 'dup')}", s._replace(procs=tuple(sorted(
                    s.procs + (p,))), msg=self.setmsg(s, m, (sent, acked, st + 1, max(0, owed - 1))))
        for i, p in enumerate(s.procs):
            me = f"m{p.m}.{p.inc}{'' if p.own else '(timer)'}"
            for s2 in self.step(s, i): yield f"{me} {p.pc}", s2
            o = self.op(s, p) if s.ghosts and not s.ghost else None
            if o: yield f"{me} {p.pc} times out, retries", s._replace(ghost=o, ghosts=s.ghosts - 1)
            yield from self.crash(s, i, p, me)
        if s.ghost: yield f"delayed {s.ghost[0]} takes effect", self.effect(s, s.ghost)[0]._replace(ghost=None)
        if self.r.lease and self.r.order == "claim-read-renew" and c and c.owner and not c.done:
            alive = any((q.m, q.inc) == c.owner[:2] for q in s.procs)
            yield "lease ends", s._replace(ctl=c._replace(owner=None), why=self.mark(s, "L" * alive))
        if s.expiry:
            if w.expire == "barrier" and any(s.bar):
                yield "barrier expires", s._replace(bar=(0,) * len(s.bar), expiry=0)
            if c and w.expire == ("tombstone" if c.done else "control"):
                yield f"{w.expire} expires", s._replace(ctl=None, expiry=0)
    def crash(self, s, i, p, me):
        sent, acked, st, owed = s.msg[p.m]
        if not s.crashes: return
        published = p.pc == "done" or p.pc == "discard" and self.r.end[:2] == "di"
        base = dict(crashes=s.crashes - 1, why=self.mark(s, "C" * published))
        spare = (acked or st < self.starts) if self.w.shared_ack else st + owed < self.starts
        if spare or not p.own:
            new = s.msg if self.w.shared_ack or not p.own else self.setmsg(s, p.m, (sent, acked, st, owed + 1))
            yield f"{me} CRASHES before {p.pc}", self.put(s, i, None, msg=new, **base)
        if self.w.success_ack and p.own and p.m < self.w.parts and s.stored >> p.m & 1:
            yield f"{me} CRASHES before {p.pc}; SUCCESS stored: acked", self.put(self.acked(s, p.m), i, None, **base)
    def quiet(self, s):
        """Nothing can move and nothing owed can be delivered: a fair execution may end here."""
        stuck = all(p.pc == "hold" and p.snap == s.ctl and not self.r.lease for p in s.procs)
        return stuck and (len(s.procs) == self.w.workers or not any(
            self.can_start(s, m) in ("first", "owed") for m in range(len(s.msg))))
    def judge(self, s):
        if s.bad: return s.bad
        if not self.quiet(s): return ""
        if not (s.pubs or s.failed) and self.w.expire != "barrier": return "P3 never published"
        left = any(s.bar)
        if left and not self.r.finite_ttl: return "P5 garbage left for ever"
        if self.w.expire: return ""
        if left and s.crashes == self.w.crashes and s.ghosts == self.w.ghosts: return "P5 garbage without any fault"
        return "P5 no tombstone" if not (s.ctl and s.ctl.done) else ""

def check(r, w, stop=False, limit=3_000_000):
    """Explore; return (states, seconds, {violation: trace}, Counter of publishes, excuses)."""
    gc.disable()                                   # millions of live tuples, no cycles
    model, t0, s0 = Model(r, w), time.time(), initial(r, w)
    parent, todo, found, pubs, why = {s0: None}, deque([s0]), {}, Counter(), {}
    while todo and len(parent) < limit:
        s = todo.popleft()
        v = model.judge(s)
        if v:
            if v not in found:
                found[v] = trace(parent, s)
                if stop: break
            if s.bad: continue
        if model.quiet(s): pubs[s.pubs] += 1
        for label, s2 in model.successors(s):
            if s2.pubs > max(1, s.pubs) and not s2.bad: why.setdefault(s2.why, trace(parent, s) + [label])
            if s2 not in parent:
                parent[s2] = (s, label)
                todo.append(s2)
    gc.enable()
    return len(parent), time.time() - t0, found, pubs, why, bool(todo) and not (stop and found)

def trace(parent, s):
    out = []
    while parent[s]:
        s, label = parent[s]
        out.append(label)
    return out[::-1]

def small(**kw): return World(**{**dict(ghosts=0, crashes=1, dup_publisher=False), **kw})

WORLDS = {
    "2 parts, 2 crashes": World(crashes=2, ghosts=0), "an ambiguous write": small(ghosts=1),
    "2 redeliveries": small(redeliveries=2), "the same, acks per delivery": small(redeliveries=2, shared_ack=False),
    "3 workers": small(workers=3), "3 parts": small(parts=3, crashes=0), "size enlarged": small(adds=True),
    "tombstone may expire": small(expire="tombstone"), "parts may expire": small(expire="barrier"),
    "control may expire": small(expire="control")}
WRITTEN = Rules(order="claim-read-renew", takeover="none", loser="timer", store="first", size_arrives=False,
                late_discards=False, verify=False)
LADDER, fixes = {"as written": {}}, {}
for title, fix in (("+ set_chord_size arrives", dict(size_arrives=True)), ("+ result stored last", dict(store="last")),
                   ("+ losers hold", dict(loser="hold")), ("+ late arrivals discard", dict(late_discards=True))):
    LADDER[title] = fixes = {**fixes, **fix}
AMQP = dict(shared_ack=False, success_ack=False)
LADDER_WORLDS = {"Celery": small(), "AMQP, 2 crashes": small(redeliveries=2, crashes=2, **AMQP)}
OPTIONS = {                       # ways to recover from the claimer's death; all other rules are the defaults
    "a  timer in the loser, which acknowledges": dict(loser="timer", takeover="none"),
    "b  the loser holds its message": dict(takeover="none"),
    "c  the loser sends a recovery message, acknowledges": dict(loser="message", takeover="none"),
    "d  own part takes over; losers acknowledge; no lease": dict(loser="ack", lease=False),
    "d' own part takes over; losers hold; no lease": dict(lease=False),
    "b+d (as it is)": dict(),
}
OPTION_WORLDS = {n: small(redeliveries=2, crashes=2, **o) for n, o in {"AMQP": AMQP, "AMQP, stored SUCCESS is acked":
                 dict(shared_ack=False), "shared ack": dict(success_ack=False)}.items()}
MUTANTS = [                       # name, rule changed, the world that shows it
    ("no claim: publish at once", dict(order="no-claim"), small()),
    ("claim written with set, not compare_and_set", dict(claim_fences=False), small()),
    ("a False compare_and_set means lost", dict(false_reread=False), small(ghosts=1)),
    ("claim names the part, not the delivery", dict(nonce=False), small(ghosts=1)),
    ("losers acknowledge at once", dict(loser="ack"), small(redeliveries=2)),
    ("losers set a timer and acknowledge", dict(loser="timer"), small(redeliveries=2, crashes=2)),
    ("no lease: holders wait for ever", dict(lease=False), small()),
    ("acknowledge before the dispatch", dict(ack_early=True), small(**AMQP)),
    ("result stored before the arrival", dict(store="first"), small()),
    ("set_chord_size does not check", dict(size_arrives=False), small()),
    ("set_chord_size checks, then writes", dict(size_order="arrive-write"), small()),
    ("set_chord_size uses set", dict(size_write="set"), small(ghosts=1)),
    ("size and claim read before the arrival", dict(look_first=True), small()),
    ("count deliveries, read not verified", dict(identity=False, verify=False), small()),
    ("last write of a part wins", dict(first_wins=False), small()),
    ("count == size instead of >=", dict(compare="=="), small(adds=True)),
    ("bulk read not verified (enlarged)", dict(verify=False), small(adds=True)),
    ("bulk read not verified (expiry)", dict(verify=False), small(expire="barrier")),
    ("discard, then tombstone", dict(end="discard-done"), small()),
    ("no tombstone", dict(end="discard"), small()),
    ("no discard", dict(end="done"), small()),
    ("late arrivals do not discard", dict(late_discards=False), small()),
    ("only the owner writes the tombstone", dict(done_write="own"), small()),
    ("add_to_chord counts", dict(add="count"), small(adds=True)),
    ("add_to_chord after the adder's arrival", dict(add="after"), small(adds=True)),
    ("bookkeeping without ttl", dict(finite_ttl=False), small(ghosts=1)),
    ("an arrival begins a barrier that has expired", dict(unknown=False), small(expire="control")),
    ("(speed only) own part waits for the lease", dict(takeover="none"), small()),
    ("(livelock only) a visit without a part takes over as well", dict(takeover="look"), small()),
    ("(window only) claim, then read, then publish", dict(order="claim-read"), small()),
    ("(also right) read, then claim, then publish", dict(order="read-claim"), small()),
    ("(also right) claim, read and verify, write a renewal", dict(order="claim-read-renew"), small()),
]

def job(a):
    kind, name, r, w, stop = a
    return (kind, name) + check(r, w, stop, 200_000 if kind[0] in "oa" else 3_000_000)

def first(found): return "; ".join(f"{v} ({len(t)} steps)" for v, t in found.items()) or "holds"

def main():
    if len(sys.argv) > 1: return one(sys.argv[1])
    jobs = [("properties", n, Rules(), w, False) for n, w in WORLDS.items()]
    jobs += [("as first written, then one fix after the other", f"{n} | {wn}", WRITTEN._replace(**o), w, True)
             for n, o in LADDER.items() for wn, w in LADDER_WORLDS.items()]
    jobs += [("options", f"{n:52} | {wn}", Rules(**o), w, True)
             for n, o in OPTIONS.items() for wn, w in OPTION_WORLDS.items()]
    jobs += [("mutants", n, Rules(**o), w, True) for n, o, w in MUTANTS]
    last = None
    with Pool(2) as pool:
        for kind, name, n, secs, found, pubs, why, cut in pool.imap(job, jobs):
            if kind != last: print(f"\n== {kind} ==")
            last = kind
            extra = f"  publishes at the end: {dict(sorted(pubs.items()))}; second publish after: " + (
                ", ".join(f"{k} ({len(t)})" for k, t in why.items() if len(k) == 1) or "-")
            print(f"{name:58} {n:>9,} states {secs:6.1f} s{' CUT' if cut else ''}  {first(found)}"
                  + (extra if kind == "properties" else ""), flush=True)

def one(name):
    """Print the shortest traces for a mutant whose name starts with NAME ("written": as first written)."""
    rules, world = (WRITTEN, small()) if name == "written" else next(
        (Rules(**o), w) for n, o, w in MUTANTS if n.startswith(name))
    for v, t in check(rules, world, stop=name != "written")[2].items(): print(v, *t, sep="\n    ")

if __name__ == "__main__": main()
