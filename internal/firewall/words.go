package firewall

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
)

// words says what a rule is about, as far as that is plain, in nft's words.
func (r *Rule) words() string {
	d := &Datagram{Proto: UDP} // most that matter are about UDP
	regs := map[uint32]value{}
	var out []string
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Payload:
			regs[register(e.DestRegister)] = d.payload(e)
			if e.Base == expr.PayloadBaseNetworkHeader {
				regs[register(e.DestRegister)] = ipField(e)
			}
		case *expr.Meta:
			regs[register(e.Register)] = d.meta(e.Key)
		case *expr.Ct:
			regs[register(e.Register)] = d.ct(e.Key)
		case *expr.Cmp:
			if name := regs[register(e.Register)].name; name != "" && name != "meta nfproto" {
				out = append(out, name+op(e.Op)+" "+constant(name, e.Data))
			}
		case *expr.Range:
			if name := regs[register(e.Register)].name; name != "" {
				out = append(out, name+op(e.Op)+" "+constant(name, e.FromData)+"-"+constant(name, e.ToData))
			}
		case *expr.Lookup:
			if name := regs[register(e.SourceRegister)].name; name != "" {
				out = append(out, name+" @"+e.SetName)
			}
		case *expr.Match:
			out = append(out, matchWords(e))
		case *expr.Limit:
			out = append(out, "limit")
		case *expr.Reject:
			out = append(out, "reject")
		case *expr.Target:
			out = append(out, e.Name)
		case *expr.Verdict:
			out = append(out, verdictWords(e))
		}
	}
	return strings.ReplaceAll(strings.Join(out, " "), "meta l4proto udp udp ", "udp ") // nft says it once
}

// ipField names a part of an IP header by how long it is and where it begins.
func ipField(e *expr.Payload) value {
	for _, d := range []*Datagram{{}, {IPv6: true}} {
		if v := d.payload(e); v.name != "" {
			return value{name: v.name}
		}
	}
	return value{}
}

func op(o expr.CmpOp) string {
	return map[expr.CmpOp]string{expr.CmpOpNeq: " !=", expr.CmpOpLt: " <", expr.CmpOpLte: " <=", expr.CmpOpGt: " >", expr.CmpOpGte: " >="}[o]
}

// constant is what something is compared with, as people write it.
func constant(name string, b []byte) string {
	switch {
	case strings.HasSuffix(name, "port") && len(b) == 2:
		return strconv.Itoa(int(binary.BigEndian.Uint16(b)))
	case strings.HasSuffix(name, "name"):
		return fmt.Sprintf("%q", bytes.TrimRight(b, "\x00"))
	case strings.HasSuffix(name, "addr"):
		return addrWords(b, strings.HasPrefix(name, "ip6"))
	case len(b) == 1 && b[0] == UDP:
		return "udp"
	case len(b) == 1 && b[0] == TCP:
		return "tcp"
	}
	return fmt.Sprintf("0x%x", b)
}

// addrWords is an address, or the bytes of one that a prefix has.
func addrWords(b []byte, six bool) string {
	whole := make([]byte, 4)
	if six {
		whole = make([]byte, 16)
	}
	copy(whole, b)
	a, _ := netip.AddrFromSlice(whole)
	if len(b) == len(whole) {
		return a.String()
	}
	return netip.PrefixFrom(a, 8*len(b)).String()
}

func matchWords(e *expr.Match) string {
	if u, ok := e.Info.(*xt.Udp); ok {
		if u.DstPorts[0] == u.DstPorts[1] {
			return fmt.Sprintf("udp dport %d", u.DstPorts[0])
		}
		return fmt.Sprintf("udp dport %d-%d", u.DstPorts[0], u.DstPorts[1])
	}
	return "-m " + e.Name
}

func verdictWords(v *expr.Verdict) string {
	switch v.Kind {
	case expr.VerdictDrop:
		return "drop"
	case expr.VerdictAccept:
		return "accept"
	case expr.VerdictReturn:
		return "return"
	case expr.VerdictJump:
		return "jump " + v.Chain
	case expr.VerdictGoto:
		return "goto " + v.Chain
	}
	return "…"
}

// String says who drops, in words to search `nft -a list ruleset` with.
func (c *Culprit) String() string {
	where := fmt.Sprintf("nftables %s %s, chain %s", familyNames[c.Base.Family], c.Base.Table, c.In.Name)
	if c.In != c.Base {
		where += fmt.Sprintf(" (from %s)", c.Base.Name)
	}
	where += ", hook " + c.Base.hookName()
	if c.Rule == nil {
		return where + ": policy drop"
	}
	return fmt.Sprintf("%s, rule %d: %s", where, c.Rule.Handle, c.Rule.words())
}

// LetIn is a command that lets a thing pass before the Culprit is asked: nft is
// its match in nft's words, ipt in those of iptables.
func (c *Culprit) LetIn(nft, ipt string) string {
	b := c.Base
	iptables := map[nftables.TableFamily]string{nftables.TableFamilyIPv4: "iptables", nftables.TableFamilyIPv6: "ip6tables"}[b.Family]
	if iptables != "" && ipt != "" && b.Table == "filter" && b.Name == strings.ToUpper(b.Name) {
		return fmt.Sprintf("%s -I %s %s -j ACCEPT", iptables, b.Name, ipt)
	}
	return fmt.Sprintf("nft insert rule %s %s %s %s accept", familyNames[b.Family], b.Table, b.Name, nft)
}
