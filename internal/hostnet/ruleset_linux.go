package hostnet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/internal/firewall"
)

// Ruleset reads the firewall: all chains of the families that our datagrams
// pass, with their rules and sets. It takes CAP_NET_ADMIN.
func (h *Host) Ruleset() (*firewall.Ruleset, error) {
	c, err := h.nftables()
	if err != nil {
		return nil, err
	}
	rs := &firewall.Ruleset{Sets: map[firewall.SetName][]nftables.SetElement{}, Legacy: h.legacyTables()}
	chains, err := c.ListChains()
	if err != nil {
		if noTables(err) {
			return rs, nil
		}
		return nil, fmt.Errorf("list nftables: %w", err)
	}
	read := map[nftables.Table]bool{}
	for _, k := range chains {
		if k.Table.Family == nftables.TableFamilyARP || k.Table.Family == nftables.TableFamilyBridge {
			continue
		}
		rules, err := c.GetRules(k.Table, k)
		if err != nil {
			return nil, fmt.Errorf("list the rules of %s, chain %s: %w", k.Table.Name, k.Name, err)
		}
		rs.Chains = append(rs.Chains, chainOf(k, rules))
		if t := (nftables.Table{Name: k.Table.Name, Family: k.Table.Family}); !read[t] {
			read[t] = true
			if err := readSets(c, k.Table, rs); err != nil {
				return nil, err
			}
		}
	}
	return rs, nil
}

// noTables reports whether a kernel says that it has no nftables.
func noTables(err error) bool {
	for _, e := range []error{unix.EAFNOSUPPORT, unix.EOPNOTSUPP, unix.EPROTONOSUPPORT, unix.EINVAL} {
		if strings.Contains(err.Error(), e.Error()) { // the library passes on its text
			return true
		}
	}
	return false
}

func chainOf(k *nftables.Chain, rules []*nftables.Rule) firewall.Chain {
	out := firewall.Chain{Family: k.Table.Family, Table: k.Table.Name, Name: k.Name, Device: k.Device}
	if k.Hooknum != nil {
		out.Base, out.Hook = true, uint32(*k.Hooknum)
	}
	if k.Priority != nil {
		out.Priority = int32(*k.Priority)
	}
	out.Drop = k.Policy != nil && *k.Policy == nftables.ChainPolicyDrop
	for _, r := range rules {
		out.Rules = append(out.Rules, firewall.Rule{Handle: r.Handle, Exprs: r.Exprs})
	}
	return out
}

// readSets reads the sets of a table, those too that rules have of their own.
func readSets(c *nftables.Conn, t *nftables.Table, rs *firewall.Ruleset) error {
	sets, err := c.GetSets(t)
	if err != nil {
		return fmt.Errorf("list the sets of %s: %w", t.Name, err)
	}
	for _, s := range sets {
		elements, err := c.GetSetElements(s)
		if err != nil {
			return fmt.Errorf("list the set %s of %s: %w", s.Name, t.Name, err)
		}
		if s.Concatenation {
			continue // keys of several parts are not looked up
		}
		for i := range elements {
			if e := &elements[i]; s.IsMap && e.VerdictData == nil {
				e.VerdictData = verdictOf(e.Val)
			}
		}
		rs.Sets[firewall.SetName{Family: t.Family, Table: t.Name, Set: s.Name}] = elements
	}
	return nil
}

// verdictOf reads the verdict of a map's element, which the library leaves as the
// kernel sent it; nil when it is none.
func verdictOf(b []byte) *expr.Verdict {
	var v *expr.Verdict
	for kind, value := range attrs(b) {
		switch {
		case kind == unix.NFTA_VERDICT_CODE && len(value) == 4:
			v = &expr.Verdict{Kind: expr.VerdictKind(int32(binary.BigEndian.Uint32(value)))}
		case kind == unix.NFTA_VERDICT_CHAIN && v != nil:
			v.Chain = string(bytes.TrimRight(value, "\x00"))
		}
	}
	return v
}

// legacyTables names the tables of the legacy iptables that are in use.
func (h *Host) legacyTables() []string {
	var out []string
	_ = h.inside(func() error {
		for _, name := range []string{"ip_tables_names", "ip6_tables_names"} {
			b, _ := os.ReadFile("/proc/thread-self/net/" + name)
			out = append(out, strings.Fields(string(b))...)
		}
		return nil
	})
	return out
}
