package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/internal/admin"
	"github.com/uvtep/uvtep/internal/spell"
)

// explainFlags are those of `uvtep explain`.
type explainFlags struct {
	socket string
	asJSON bool
	from   string
	pcap   string

	src, dst     string
	arp, ns, ip  string
	proto        string
	sport, dport uint16
	vlan         uint16
	length       int
	tos          uint8

	outerSrc string
	outerTOS uint8
	vni      uint32

	words bool // one of those that describe a frame was given
	given func(flag string) bool
}

// wordFlags are the flags that describe a frame.
var wordFlags = []string{"src", "dst", "arp", "ns", "ip", "proto", "sport", "dport", "vlan", "len", "tos"}

func newExplain() *cobra.Command {
	e := new(explainFlags)
	c := &cobra.Command{
		Use:   "explain --from tap|wire [HEX | --pcap FILE | WORDS]",
		Short: "What would become of a frame now, and which row of which table decides it",
		Long: "Asks the running agent what it would do with a frame that came from its TAP, or with\n" +
			"a datagram that came from the wire. It is the data path's own code that answers, with\n" +
			"the tables in force; nothing is sent and nothing counted. The last line is the\n" +
			"verdict, as `uvtep stats` counts it.\n\n" +
			"The frame is given in hexadecimal, as a capture file, or in words. What the words\n" +
			"leave open is the TAP's own: its MAC address, its IP address. Of the wire, HEX is the\n" +
			"UDP payload, or with --vni the inner frame.",
		Example: "  uvtep explain --from tap --arp 10.10.2.0\n" +
			"  uvtep explain --from tap --ip 10.10.1.2,10.10.2.7 --proto tcp --dport 80\n" +
			"  uvtep explain --from wire --outer-src 192.0.2.2 --vni 1 --src 02:00:00:00:00:07 --ip 10.10.2.7,10.10.1.2\n" +
			"  uvtep explain --from tap --pcap dump.pcap",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			e.given = cmd.Flags().Changed
			if err := e.validate(args); err != nil {
				return usageError{err}
			}
			q, err := e.question(cmd, args)
			if err != nil {
				return err
			}
			return e.ask(cmd, q)
		},
	}
	e.register(c.Flags())
	return c
}

func (e *explainFlags) register(f *pflag.FlagSet) {
	adminFlag(f, &e.socket)
	f.BoolVarP(&e.asJSON, "json", "j", false, "print JSON")
	f.StringVar(&e.from, "from", "", "where the frame comes from: tap or wire")
	f.StringVar(&e.pcap, "pcap", "", "explain every frame of a pcap or pcapng file, - for stdin")
	f.StringVar(&e.src, "src", "", "source MAC address (default the TAP's own; from the wire, that of the host --outer-src)")
	f.StringVar(&e.dst, "dst", "", "destination MAC address (default broadcast for --arp, the group for --ns, for --ip where the host would send it; from the wire, the TAP's)")
	f.StringVar(&e.arp, "arp", "", "an ARP request for this address")
	f.StringVar(&e.ns, "ns", "", "a neighbour solicitation for this IPv6 address")
	f.StringVar(&e.ip, "ip", "", "an IP packet, SRC,DST; for --arp and --ns, who asks; one address: DST")
	f.StringVar(&e.proto, "proto", "", "what the IP packet carries: tcp, udp or icmp")
	f.Uint16Var(&e.sport, "sport", 40000, "source port")
	f.Uint16Var(&e.dport, "dport", 9, "destination port")
	f.Uint16Var(&e.vlan, "vlan", 0, "VLAN identifier of an 802.1Q tag, 0 for none")
	f.IntVar(&e.length, "len", 0, "length of the frame in bytes, its Ethernet header included (default as short as can be)")
	f.Uint8Var(&e.tos, "tos", 0, "type of service or traffic class of the IP packet")
	f.StringVar(&e.outerSrc, "outer-src", "", "from the wire: who sent the datagram")
	f.Uint8Var(&e.outerTOS, "outer-tos", 0, "from the wire: the datagram's type of service")
	f.Uint32Var(&e.vni, "vni", 0, "the network's VNI (default the agent's); from the wire it makes HEX and --pcap inner frames")
}

// validate checks what can be checked without the agent, and reports all faults.
func (e *explainFlags) validate(args []string) error {
	var faults []error
	fault := func(format string, a ...any) { faults = append(faults, fmt.Errorf(format, a...)) }
	if e.from != fromTAP && e.from != fromWire {
		fault("--from %q: say tap or wire", e.from)
	}
	ways := len(args)
	if e.pcap != "" {
		ways++
	}
	for _, name := range wordFlags {
		e.words = e.words || e.given(name)
	}
	if e.words {
		ways++
	}
	if ways != 1 {
		fault("say one thing: a frame in hexadecimal, --pcap FILE, or words such as --arp ADDRESS")
	}
	for _, name := range []string{"outer-src", "outer-tos"} {
		if e.from == fromTAP && e.given(name) {
			fault("--%s is for datagrams: --from wire", name)
		}
	}
	if e.from == fromWire && e.outerSrc == "" && e.pcap == "" {
		fault("--outer-src is missing: say who sent the datagram")
	}
	if !encap.VNI(e.vni).Valid() {
		fault("--vni %d: want 24 bits", e.vni)
	}
	if (e.given("sport") || e.given("dport")) && e.proto != "tcp" && e.proto != "udp" {
		fault("--sport and --dport need --proto tcp or udp")
	}
	return errors.Join(faults...)
}

// question makes the frames.
func (e *explainFlags) question(cmd *cobra.Command, args []string) ([]explainFrame, error) {
	outer, err := e.outer()
	if err != nil {
		return nil, err
	}
	switch {
	case e.pcap != "":
		return e.fromFile(cmd, outer)
	case e.words:
		f, err := e.make(cmd.Context())
		if err != nil {
			return nil, err
		}
		return []explainFrame{e.inner(f, outer)}, nil
	}
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", ":", "", "\n", "", "\t", "").Replace(strings.TrimPrefix(args[0], "0x")))
	if err != nil {
		return nil, usageError{fmt.Errorf("the frame is not in hexadecimal: %w; see `uvtep explain --help` for words instead", err)}
	}
	if e.from == fromWire && e.given("vni") {
		return []explainFrame{e.inner(b, outer)}, nil
	}
	outer.Data = hex.EncodeToString(b)
	return []explainFrame{outer}, nil
}

// outer is what all frames have in common.
func (e *explainFlags) outer() (explainFrame, error) {
	f := explainFrame{From: e.from, TOS: e.outerTOS}
	if e.from == fromTAP {
		f.VNI = encap.VNI(e.vni)
	}
	if e.outerSrc == "" {
		return f, nil
	}
	a, err := netip.ParseAddr(e.outerSrc)
	if err != nil {
		return f, usageError{fmt.Errorf("--outer-src %q: want an IP address", e.outerSrc)}
	}
	f.Src = a
	return f, nil
}

// inner puts a frame where it comes from: into a datagram if that is the wire.
func (e *explainFlags) inner(f ether.Frame, outer explainFrame) explainFrame {
	if e.from == fromWire {
		b := make([]byte, encap.HeaderLen, encap.HeaderLen+len(f))
		encap.PutHeader(b, encap.VNI(e.vni))
		f = append(b, f...)
	}
	outer.Data = hex.EncodeToString(f)
	return outer
}

// make makes the frame that the words describe.
func (e *explainFlags) make(ctx context.Context) (ether.Frame, error) {
	w := spell.Words{Proto: e.proto, SPort: e.sport, DPort: e.dport, VLAN: e.vlan, Len: e.length, TOS: e.tos}
	var faults []error
	parse := func(flag, s string, into *netip.Addr) {
		if s == "" {
			return
		}
		a, err := netip.ParseAddr(s)
		if err != nil {
			faults = append(faults, fmt.Errorf("--%s %q: want an IP address", flag, s))
		}
		*into = a
	}
	mac := func(flag, s string, into *ether.Addr) {
		if s == "" {
			return
		}
		a, err := ether.ParseAddr(s)
		if err != nil {
			faults = append(faults, fmt.Errorf("--%s %q: want a MAC address", flag, s))
		}
		*into = a
	}
	mac("src", e.src, &w.Src)
	mac("dst", e.dst, &w.Dst)
	parse("arp", e.arp, &w.ARP)
	parse("ns", e.ns, &w.NS)
	from, to, both := strings.Cut(e.ip, ",")
	if !both {
		from, to = "", e.ip
	}
	if w.ARP.IsValid() || w.NS.IsValid() {
		from, to = e.ip, ""
	}
	parse("ip", from, &w.From)
	parse("ip", to, &w.To)
	if len(faults) > 0 {
		return nil, usageError{errors.Join(faults...)}
	}
	if err := e.complete(ctx, &w); err != nil {
		return nil, err
	}
	f, err := spell.Make(w)
	if err != nil {
		return nil, usageError{err}
	}
	return f, nil
}

// askAtOnce is how many bytes of frames one question holds: half of what an agent
// takes, since hexadecimal is twice as long.
const askAtOnce = admin.MaxQuestion / 4

// ask asks the agent and prints what it says.
func (e *explainFlags) ask(cmd *cobra.Command, frames []explainFrame) error {
	all := []wayView{}
	for len(frames) > 0 {
		n, bytes := 0, 0
		for ; n < len(frames) && (n == 0 || bytes+len(frames[n].Data) < askAtOnce); n++ {
			bytes += len(frames[n].Data) + 128
		}
		var a explainAnswer
		if err := admin.Ask(cmd.Context(), e.socket, explainPath, explainQuestion{frames[:n]}, &a); err != nil {
			return err
		}
		all, frames = append(all, a.Ways...), frames[n:]
	}
	if e.asJSON {
		return printJSON(cmd.OutOrStdout(), all)
	}
	return printWays(cmd.OutOrStdout(), all)
}
