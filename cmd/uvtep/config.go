package main

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/etcdsync/embedded"
	"github.com/uvtep/uvtep/internal/hostnet"
	"github.com/uvtep/uvtep/internal/sched"
)

// etcdFlags are the flags of every command that talks to etcd.
type etcdFlags struct {
	o    etcdsync.Options
	name string // of the network below the prefix; "" is the one that has none
}

func (e *etcdFlags) register(f *pflag.FlagSet) {
	f.StringSliceVar(&e.o.Endpoints, "etcd-endpoints", []string{"http://127.0.0.1:2379"}, "etcd's client URLs, comma separated")
	f.StringVar(&e.o.Prefix, "etcd-prefix", etcdsync.DefaultPrefix, "what the keys of the network begin with; flannel's by default")
	f.StringVar(&e.o.CAFile, "etcd-cafile", "", "certificate authority of etcd's servers, PEM; works alone")
	f.StringVar(&e.o.CertFile, "etcd-certfile", "", "client certificate for etcd, PEM")
	f.StringVar(&e.o.KeyFile, "etcd-keyfile", "", "key of the client certificate, PEM")
	f.StringVar(&e.o.Username, "etcd-username", "", "user to log in to etcd as")
	f.StringVar(&e.o.PasswordFile, "etcd-password-file", "", "file whose first line is that user's password")
}

// registerOne is register for a command that is about one network.
func (e *etcdFlags) registerOne(f *pflag.FlagSet) {
	e.register(f)
	f.StringVar(&e.name, "network-name", "", "the network of this name, whose keys lie below the prefix and it")
}

// options are those with which the keys are the network's.
func (e *etcdFlags) options() etcdsync.Options {
	o := e.o
	if e.name != "" {
		o.Prefix = o.KeyPrefix() + "/" + e.name
	}
	return o
}

// validate reports all faults at once.
func (e *etcdFlags) validate() error {
	err := e.o.Validate()
	switch {
	case strings.Contains(e.name, ","):
		err = errors.Join(err, fmt.Errorf("--network-name %s: this command is about one network; say which", e.name))
	case e.name != "":
		err = errors.Join(err, badName(e.name))
	}
	return err
}

func badName(name string) error {
	if err := etcdsync.ValidName(name); err != nil {
		return fmt.Errorf("--network-name: %w", err)
	}
	return nil
}

// networkFlags describe a network that is to be written.
type networkFlags struct {
	cidr, cidr6           string
	vni, port             uint32
	subnetLen, subnetLen6 int
	subnetMin, subnetMax  string
	flood                 bool
	backendMTU            int
	network               *etcdsync.Network // parsed by validate; nil: not asked for
}

func (n *networkFlags) register(f *pflag.FlagSet) {
	f.Uint32Var(&n.vni, "vni", 1, "VXLAN network identifier of a network that is written")
	f.Uint32Var(&n.port, "port", encap.Port, "UDP port of a network that is written")
	f.IntVar(&n.subnetLen, "subnet-len", 0, "prefix length of a host's subnet in a network that is written (default 24)")
	f.BoolVar(&n.flood, "flood", false, "a network that is written replicates broadcast and multicast to every host")
}

// validate parses the flags into n.network.
func (n *networkFlags) validate() error {
	var errs []error
	if !encap.VNI(n.vni).Valid() {
		errs = append(errs, fmt.Errorf("--vni %d: want 0 to 16777215", n.vni))
	}
	if n.port == 0 || n.port > math.MaxUint16 {
		errs = append(errs, fmt.Errorf("--port %d: want 1 to 65535", n.port))
	}
	if n.cidr == "" && n.cidr6 == "" {
		return errors.Join(errs...)
	}
	prefix := func(flag, s string) netip.Prefix {
		if s == "" {
			return netip.Prefix{}
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("--%s %q: want a CIDR such as 10.10.0.0/16", flag, s))
		}
		return p.Masked()
	}
	addr := func(flag, s string) netip.Addr {
		if s == "" {
			return netip.Addr{}
		}
		a, err := netip.ParseAddr(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("--%s %q: want an address", flag, s))
		}
		return a
	}
	net := etcdsync.NewNetwork(prefix("network", n.cidr), prefix("ipv6-network", n.cidr6))
	net.SubnetMin, net.SubnetMax = addr("subnet-min", n.subnetMin), addr("subnet-max", n.subnetMax)
	net.VNI, net.Port, net.Flood, net.MTU = encap.VNI(n.vni), uint16(n.port), n.flood, n.backendMTU
	if n.subnetLen != 0 {
		net.SubnetLen = n.subnetLen
	}
	if n.subnetLen6 != 0 {
		net.IPv6SubnetLen = n.subnetLen6
	}
	if len(errs) == 0 {
		var err error
		if net, err = net.Complete(); err != nil {
			errs = append(errs, err)
		}
	}
	n.network = &net
	return errors.Join(errs...)
}

// runFlags is the configuration of `uvtep run` as it was given.
type runFlags struct {
	etcd  etcdFlags
	names []string
	ownFlags
	network        networkFlags
	embedded       bool
	embeddedListen string
	embeddedDir    string
	noSubnet       bool
	leaseTTL       time.Duration
	livenessTTL    time.Duration
	massDeleteHold time.Duration
	iface          []string
	ifaceRegex     []string
	ifaceCanReach  string
	publicIP       string
	publicIPv6     string
	endpointAge    time.Duration
	nice           int
	queues         int
	sourcePorts    int
	sourceRange    string
	floodRate      int
	strictSource   bool
	offload        string
	mtu            int
	udpCsum        string
	ttl            string
	tos            string
	subnetFile     string
	ipMasq         bool
	stateDir       string
	adminSocket    string
	httpListen     string
	logLevel       string
	logFormat      string

	// What validate makes of the above.
	owns                 map[string]own // by network
	underlay             hostnet.UnderlayOptions
	sourceMin, sourceMax uint16
	outer                encap.Outer
	outerTTL             int
	log                  zerolog.Logger
}

func (r *runFlags) register(f *pflag.FlagSet) {
	r.etcd.register(f)
	f.StringSliceVar(&r.names, "network-name", nil, "join the network of this name, whose keys lie below the prefix and it; may be repeated for several networks on this host (default one network without a name)")
	f.BoolVar(&r.embedded, "embedded-etcd", false, "run a single-member etcd in this process, for the first host")
	f.StringVar(&r.embeddedListen, "embedded-etcd-listen", "http://127.0.0.1:2379", "URL that the embedded etcd serves")
	f.StringVar(&r.embeddedDir, "embedded-etcd-dir", "", "data of the embedded etcd (default <state-dir>/etcd)")
	f.StringVar(&r.network.cidr, "network", "", "CIDR of the overlay: write the network configuration if there is none yet")
	r.network.register(f)
	r.ownFlags.register(f)
	f.BoolVar(&r.noSubnet, "no-subnet", false, "join without a subnet: no address, no route, no subnet file")
	f.DurationVar(&r.leaseTTL, "lease-ttl", 24*time.Hour, "how long the subnet outlives its host in etcd")
	f.DurationVar(&r.livenessTTL, "liveness-ttl", 30*time.Second, "how long the host record and its endpoints outlive the host")
	f.DurationVar(&r.massDeleteHold, "mass-delete-hold", 60*time.Second, "how long a list that lacks more than half of the rows is doubted; 0 not at all")
	f.StringArrayVar(&r.iface, "iface", nil, "underlay interface by name or address; may be repeated")
	f.StringArrayVar(&r.ifaceRegex, "iface-regex", nil, "underlay interface by regular expression; may be repeated")
	f.StringVar(&r.ifaceCanReach, "iface-can-reach", "", "the interface that leads to this address")
	f.StringVar(&r.publicIP, "public-ip", "", "IPv4 address that other hosts send to (default the interface's)")
	f.StringVar(&r.publicIPv6, "public-ipv6", "", "IPv6 address that other hosts send to (default the interface's)")
	f.IntVar(&r.queues, "queues", min(runtime.NumCPU(), 4), "TAP and socket queue pairs")
	f.IntVar(&r.sourcePorts, "source-ports", 8, "outer UDP source ports in use")
	f.StringVar(&r.sourceRange, "source-port-range", "49152-65535", "range of the outer UDP source ports")
	f.BoolVar(&r.strictSource, "strict-source", false, "take only frames whose inner source IP belongs to the host that sends them: by its lease, its endpoints or as its public IP")
	f.IntVar(&r.floodRate, "flood-rate", 10000, "copies of broadcast and multicast frames that leave a second at most, where the network floods; 0: any number")
	f.DurationVar(&r.endpointAge, "endpoint-age", 300*time.Second, "how long a silent station behind the bridge is announced; before that it is asked whether it is there")
	f.IntVar(&r.nice, "nice", -5, "niceness of the data path's threads, -20 to 19; below 0 they also go first, in real time, while there are few frames; 0 leaves them to the kernel")
	f.StringVar(&r.offload, "offload", offloadAuto, "auto: segmentation offloads where the kernel has them; off: a plain TAP")
	f.IntVar(&r.mtu, "mtu", 0, "MTU of the TAP in bytes (default from the underlay)")
	f.StringVar(&r.udpCsum, "udp-csum", "on", "outer UDP checksum over IPv4: on or off (zero)")
	f.StringVar(&r.ttl, "ttl", "64", "outer TTL, 1 to 255, or inherit: that of the inner packet, 64 for what has none")
	f.StringVar(&r.tos, "tos", "0", "outer type of service, of which only the DSCP is taken, or inherit: the inner packet's DSCP. ECN follows RFC 6040 in any case")
	f.StringVar(&r.subnetFile, "subnet-file", "/run/flannel/subnet.env", "what docker and CNI read; flannel's format")
	f.BoolVar(&r.ipMasq, "ip-masq", false, "masquerade what leaves the overlay (nftables)")
	f.StringVar(&r.stateDir, "state-dir", "/var/lib/uvtep", "node id, MAC and subnet, kept between runs")
	adminFlag(f, &r.adminSocket)
	f.StringVar(&r.httpListen, "http-listen", "", "ADDRESS:PORT to serve /metrics, /healthz, /readyz and a status page on, to anybody who reaches it")
	f.StringVar(&r.logLevel, "log-level", "info", "trace, debug, info, warn or error")
	f.StringVar(&r.logFormat, "log-format", "auto", "console, json, or auto: console on a terminal")
}

// validate parses what the flags say and reports all faults at once. It opens
// nothing.
func (r *runFlags) validate() error {
	var errs []error
	fault := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	check := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	check(r.etcd.o.Validate())
	check(r.network.validate())
	check(r.checkNames())
	var err error
	if r.embedded {
		if err := embedded.CheckListen(r.embeddedListen); err != nil {
			fault("--embedded-etcd-listen %q: %w", r.embeddedListen, err)
		}
	}
	r.owns, err = r.ownFlags.parse(r.names)
	check(err)
	if r.noSubnet && r.subnet.String() != "" {
		fault("--subnet and --no-subnet exclude each other")
	}
	address := func(flag, s string, four bool) (a netip.Addr) {
		if s == "" {
			return a
		}
		if a, err = netip.ParseAddr(s); err != nil || four && !a.Is4() || !four && !a.Is6() {
			fault("--%s %q: not such an address", flag, s)
		}
		return a
	}
	r.underlay = hostnet.UnderlayOptions{
		Iface: r.iface, IfaceRegex: r.ifaceRegex,
		PublicIP: address("public-ip", r.publicIP, true), PublicIPv6: address("public-ipv6", r.publicIPv6, false),
	}
	if r.ifaceCanReach != "" {
		if r.underlay.CanReach, err = netip.ParseAddr(r.ifaceCanReach); err != nil {
			fault("--iface-can-reach %q: not an address", r.ifaceCanReach)
		}
	}
	check(r.underlay.Validate())
	if r.queues < 1 || r.queues > 64 {
		fault("--queues %d: want 1 to 64", r.queues)
	}
	if r.sourcePorts < 1 || r.sourcePorts > 256 {
		fault("--source-ports %d: want 1 to 256", r.sourcePorts)
	}
	check(r.parseRange())
	if r.floodRate < 0 {
		fault("--flood-rate %d: want copies a second, or 0 for any number", r.floodRate)
	}
	if r.nice < sched.Rudest || r.nice > sched.Nicest {
		fault("--nice %d: want %d to %d", r.nice, sched.Rudest, sched.Nicest)
	}
	if !validOffload(r.offload) {
		fault("--offload %q: say auto or off", r.offload)
	}
	if r.udpCsum != "on" && r.udpCsum != "off" {
		fault("--udp-csum %q: say on or off", r.udpCsum)
	}
	if r.mtu != 0 && (r.mtu < 68 || r.mtu > 65535) {
		fault("--mtu %d: want 68 to 65535 bytes", r.mtu)
	}
	r.parseOuter(fault)
	if r.leaseTTL < time.Second || r.livenessTTL < time.Second {
		fault("--lease-ttl and --liveness-ttl must be a second at least")
	}
	if r.endpointAge < time.Second {
		fault("--endpoint-age %s: want a second at least", r.endpointAge)
	}
	if r.httpListen != "" {
		check(parseListen(r.httpListen))
	}
	r.log, err = newLog(logOutput, r.logLevel, r.logFormat)
	check(err)
	return errors.Join(errs...)
}

// checkNames checks the names of the networks.
func (r *runFlags) checkNames() error {
	var errs []error
	for i, name := range r.names {
		errs = append(errs, badName(name))
		if slices.Contains(r.names[:i], name) {
			errs = append(errs, fmt.Errorf("--network-name %s is given twice", name))
		}
	}
	if len(r.names) > 1 && r.network.cidr != "" {
		errs = append(errs, fmt.Errorf("--network %s is for one network, and there are %d: write each with `uvtep network init --network-name NAME --network CIDR --vni VNI`", r.network.cidr, len(r.names)))
	}
	return errors.Join(errs...)
}

func (r *runFlags) parseRange() error {
	lo, hi, ok := strings.Cut(r.sourceRange, "-")
	a, err1 := strconv.ParseUint(lo, 10, 16)
	b, err2 := strconv.ParseUint(hi, 10, 16)
	if !ok || err1 != nil || err2 != nil || a == 0 || b < a || int(b-a)+1 < r.sourcePorts {
		return fmt.Errorf("--source-port-range %q: want MIN-MAX with room for %d ports", r.sourceRange, r.sourcePorts)
	}
	r.sourceMin, r.sourceMax = uint16(a), uint16(b)
	return nil
}
