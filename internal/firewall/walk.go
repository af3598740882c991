package firewall

import (
	"bytes"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// fit is whether a rule is about a datagram.
type fit uint8

const (
	fits fit = iota
	mayFit
	fitsNot
)

// fate is what becomes of a datagram in a chain.
type fate uint8

const (
	goesOn   fate = iota // to the next rule of who called
	accepted             // by this base chain
	dropped
)

// Culprit is what drops, or may drop, a datagram.
type Culprit struct {
	Base *Chain // at the hook
	In   *Chain // that holds the rule
	Rule *Rule  // nil: the policy of Base
	Sure bool   // it does; else it may, by what is not known here
}

// Walk takes a datagram through the base chains of a hook. Each of them can drop it.
func (rs *Ruleset) Walk(hook uint32, d *Datagram) []Culprit {
	var out []Culprit
	for i := range rs.Chains {
		if c := &rs.Chains[i]; c.takes(hook, d) {
			w := &walker{rs: rs, d: d, base: c}
			out = append(out, w.judge()...)
		}
	}
	return out
}

// walker takes a datagram through one base chain.
type walker struct {
	rs        *Ruleset
	d         *Datagram
	base      *Chain
	mayAccept bool // a rule that may be about the datagram accepts it
	suspects  []Culprit
}

// maxJumps is how deep chains may call each other (NFT_JUMP_STACK_SIZE).
const maxJumps = 16

func (w *walker) judge() []Culprit {
	end := w.chain(w.base, 0, true)
	if end == goesOn && w.base.Drop {
		w.drop(w.base, nil, true)
	}
	return w.suspects
}

// drop notes who drops the datagram: surely, unless something before may have
// accepted it.
func (w *walker) drop(c *Chain, r *Rule, sure bool) {
	w.suspects = append(w.suspects, Culprit{w.base, c, r, sure && !w.mayAccept})
}

// chain takes the datagram through a chain's rules; sure says that it surely comes
// there.
func (w *walker) chain(c *Chain, depth int, sure bool) fate {
	stays := true // no rule that may be about it has it leave the chain
	for i := range c.Rules {
		r := &c.Rules[i]
		f, v := w.rule(r, c)
		if f == fitsNot || v == nil {
			continue
		}
		end, over := w.follow(c, r, v, depth, sure && stays && f == fits)
		switch {
		case !over:
			continue
		case f == fits && stays:
			return end
		case end == accepted:
			w.mayAccept = true
		case end == goesOn:
			stays = false
		}
		if f == fits {
			return goesOn // as if it had left: what is then called is not sure
		}
	}
	return goesOn
}

// follow carries out a rule's verdict. over says that the chain ends with it.
func (w *walker) follow(c *Chain, r *Rule, v *expr.Verdict, depth int, sure bool) (end fate, over bool) {
	switch v.Kind {
	case expr.VerdictAccept, expr.VerdictStop, expr.VerdictStolen, expr.VerdictQueue:
		return accepted, true
	case expr.VerdictDrop:
		w.drop(c, r, sure)
		return dropped, true
	case expr.VerdictReturn:
		return goesOn, true
	case expr.VerdictJump, expr.VerdictGoto:
		if to := w.rs.chain(c, v.Chain); to != nil && depth < maxJumps {
			end = w.chain(to, depth+1, sure)
		}
		return end, end != goesOn || v.Kind == expr.VerdictGoto
	}
	return goesOn, false
}

// chain finds a chain of the same table.
func (rs *Ruleset) chain(of *Chain, name string) *Chain {
	i := slices.IndexFunc(rs.Chains, func(c Chain) bool { return c.Family == of.Family && c.Table == of.Table && c.Name == name })
	if i < 0 {
		return nil
	}
	return &rs.Chains[i]
}

// rule finds whether a rule is about the datagram, and its verdict, nil for none.
func (w *walker) rule(r *Rule, c *Chain) (fit, *expr.Verdict) {
	regs := map[uint32]value{}
	all := fits
	for _, e := range r.Exprs {
		var f fit
		switch e := e.(type) {
		case *expr.Payload:
			regs[register(e.DestRegister)] = w.d.payload(e)
		case *expr.Meta:
			if !e.SourceRegister {
				regs[register(e.Register)] = w.d.meta(e.Key)
			}
		case *expr.Ct:
			if !e.SourceRegister {
				regs[register(e.Register)] = w.d.ct(e.Key)
			}
		case *expr.Fib:
			regs[register(e.Register)] = w.d.fib(e)
		case *expr.Bitwise:
			regs[register(e.DestRegister)] = masked(regs[register(e.SourceRegister)], e)
		case *expr.Cmp:
			f = compare(regs[register(e.Register)], e)
		case *expr.Range:
			f = within(regs[register(e.Register)], e)
		case *expr.Lookup:
			v, in := w.lookup(regs[register(e.SourceRegister)], e, c)
			if f = in; v != nil && in != fitsNot {
				return max(all, in), v
			}
		case *expr.Match:
			f = w.d.match(e)
		case *expr.Limit, *expr.Quota, *expr.Connlimit:
			f = mayFit
		case *expr.Reject:
			return all, &expr.Verdict{Kind: expr.VerdictDrop}
		case *expr.Target:
			if e.Name == "REJECT" {
				return all, &expr.Verdict{Kind: expr.VerdictDrop}
			}
		case *expr.Verdict:
			return all, e
		case *expr.Queue:
			return all, &expr.Verdict{Kind: expr.VerdictQueue}
		}
		if all = max(all, f); all == fitsNot {
			return fitsNot, nil
		}
	}
	return all, nil
}

// register brings both numberings of registers, of 16 and of 4 bytes, to one
// (uapi/linux/netfilter/nf_tables.h).
func register(n uint32) uint32 {
	if n < 8 {
		return 4 * (n + 1)
	}
	return n
}

// masked applies a mask.
func masked(v value, e *expr.Bitwise) value {
	if !v.known || len(v.b) != len(e.Mask) || len(e.Xor) != len(e.Mask) {
		return value{name: v.name}
	}
	out := make([]byte, len(v.b))
	for i := range out {
		out[i] = v.b[i]&e.Mask[i] ^ e.Xor[i]
	}
	return value{v.name, true, out}
}

// compare compares a register with a constant. Of an interface's name nft
// compares no more than the part before a *.
func compare(v value, e *expr.Cmp) fit {
	if !v.known || len(v.b) < len(e.Data) {
		return mayFit
	}
	c := bytes.Compare(v.b[:len(e.Data)], e.Data)
	return fit3(map[expr.CmpOp]bool{
		expr.CmpOpEq: c == 0, expr.CmpOpNeq: c != 0, expr.CmpOpLt: c < 0, expr.CmpOpLte: c <= 0, expr.CmpOpGt: c > 0, expr.CmpOpGte: c >= 0,
	}[e.Op])
}

func fit3(ok bool) fit {
	if ok {
		return fits
	}
	return fitsNot
}

func within(v value, e *expr.Range) fit {
	if !v.known || len(v.b) != len(e.FromData) {
		return mayFit
	}
	in := bytes.Compare(v.b, e.FromData) >= 0 && bytes.Compare(v.b, e.ToData) <= 0
	return fit3(in == (e.Op == expr.CmpOpEq))
}

// lookup looks a register up in a set. Of a map with verdicts it returns the
// verdict; where the register is not known the worst one.
func (w *walker) lookup(v value, e *expr.Lookup, c *Chain) (*expr.Verdict, fit) {
	elements, there := w.rs.Sets[SetName{c.Family, c.Table, e.SetName}]
	if !there || !v.known || slices.ContainsFunc(elements, func(x nftables.SetElement) bool { return len(x.Key) != len(v.b) || x.KeyEnd != nil }) {
		return worst(elements), mayFit
	}
	x := element(elements, v.b)
	if e.Invert {
		return nil, fit3(x == nil)
	}
	if x == nil {
		return nil, fitsNot
	}
	return x.VerdictData, fits
}

// worst is the verdict of a map that is worst for the datagram.
func worst(elements []nftables.SetElement) *expr.Verdict {
	var out *expr.Verdict
	for i := range elements {
		if v := elements[i].VerdictData; v != nil && (out == nil || v.Kind == expr.VerdictDrop) {
			out = v
		}
	}
	return out
}

// element finds the element that holds a key. Of a set with ranges each has two:
// its beginning, and its end, which is beyond it.
func element(elements []nftables.SetElement, key []byte) *nftables.SetElement {
	var best *nftables.SetElement
	ranges := slices.ContainsFunc(elements, func(x nftables.SetElement) bool { return x.IntervalEnd })
	for i := range elements {
		x := &elements[i]
		c := bytes.Compare(x.Key, key)
		switch {
		case !ranges && c == 0 && !x.IntervalEnd:
			return x
		case ranges && c <= 0 && (best == nil || bytes.Compare(x.Key, best.Key) > 0 || bytes.Equal(x.Key, best.Key) && best.IntervalEnd):
			best = x
		}
	}
	if best == nil || best.IntervalEnd {
		return nil
	}
	return best
}
