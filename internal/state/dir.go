package state

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
)

// NodeIDLen is the number of hexadecimal digits of a node id.
const NodeIDLen = 32

const (
	dirMode  = 0o755
	fileMode = 0o644
	// secretMode is for what etcd tells to those alone who may ask it, such as the
	// keys that hosts know each other's probes by.
	secretMode = 0o600
)

// Dir is the path of a state directory. It is made on the first write. Its
// methods may be called by several goroutines and processes at once.
type Dir string

// NodeID returns the host's identity, 32 lower-case hexadecimal digits. The
// first call ever makes it at random. A file that holds anything else is an
// error: a host that takes a new identity loses its subnet.
func (d Dir) NodeID() (string, error) {
	const name = "node-id"
	id, err := d.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err := d.makeNodeID(name); err != nil {
			return "", fmt.Errorf("make node id in %q: %w", d.path(name), err)
		}
		id, err = d.read(name)
	}
	if err != nil {
		return "", fmt.Errorf("read node id: %w", err)
	}
	if !ValidNodeID(id) {
		return "", fmt.Errorf("node id in %q is not %d lower-case hexadecimal digits; restore the file, or remove it to make this a new host", d.path(name), NodeIDLen)
	}
	return id, nil
}

// networksName is the folder of networks that have names.
const networksName = "networks"

// Of returns the directory of a network that has a name.
func (d Dir) Of(network string) Dir { return Dir(filepath.Join(string(d), networksName, network)) }

// Networks returns the names of the networks that have a directory.
func (d Dir) Networks() ([]string, error) {
	es, err := os.ReadDir(d.path(networksName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range es {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// VNIs returns the VNIs that something was ever kept of, in order.
func (d Dir) VNIs() ([]encap.VNI, error) {
	es, err := os.ReadDir(string(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []encap.VNI
	for _, e := range es {
		kind, number, _ := strings.Cut(e.Name(), ".")
		n, err := strconv.ParseUint(number, 10, 32)
		if v := encap.VNI(n); err == nil && v.Valid() && (kind == macKind || kind == tablesKind) {
			all = append(all, v)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), err
}

// Known reports whether a node id was ever made here.
func (d Dir) Known() bool {
	_, err := os.Stat(d.path("node-id"))
	return err == nil
}

// makeNodeID writes a random node id. That another process did so first is
// no error: its id is as good.
func (d Dir) makeNodeID(name string) error {
	if err := os.MkdirAll(string(d), dirMode); err != nil {
		return err
	}
	var b [NodeIDLen / 2]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	err := writeNew(d.path(name), []byte(hex.EncodeToString(b[:])+"\n"), fileMode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// ValidNodeID reports whether s is a node id: 32 lower-case hexadecimal
// digits.
func ValidNodeID(s string) bool {
	if len(s) != NodeIDLen {
		return false
	}
	return strings.Trim(s, "0123456789abcdef") == ""
}

// MAC returns the MAC address of a host's TAP in a VNI. The first call
// derives it from the host's node id (see [DeriveMAC]) and writes it down; a file
// that is there wins, so that a later uvtep with another rule keeps the
// address. A file without a usable address is written anew.
func (d Dir) MAC(node string, v encap.VNI) (ether.Addr, error) {
	name := macKind + "." + v.String()
	text, err := d.read(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ether.Addr{}, fmt.Errorf("read MAC address: %w", err)
	}
	if a, err := ether.ParseAddr(text); err == nil && !a.IsZero() && !a.IsMulticast() {
		return a, nil
	}
	a := DeriveMAC(node, v)
	return a, d.write(name, a.String())
}

// DeriveMAC returns the MAC address that a node has in a VNI unless something
// else was written down: the first six bytes of SHA-256 over the digits of the
// node id and the VNI as four bytes, big endian, made local and unicast (IEEE
// 802 §8.4).
func DeriveMAC(nodeID string, v encap.VNI) ether.Addr {
	sum := sha256.Sum256(binary.BigEndian.AppendUint32([]byte(nodeID), uint32(v)))
	a := ether.Addr(sum[:ether.AddrLen])
	a[0] = a[0]&^1 | 2
	return a
}

// Subnet returns the subnets that SetSubnet kept: an IPv4 and an IPv6 prefix,
// each the zero Prefix when there is none. A file that does not parse counts
// as none.
func (d Dir) Subnet() (v4, v6 netip.Prefix, err error) {
	text, err := d.read("subnet")
	if errors.Is(err, fs.ErrNotExist) {
		return v4, v6, nil
	}
	if err != nil {
		return v4, v6, fmt.Errorf("read subnet: %w", err)
	}
	for line := range strings.Lines(text) {
		p, err := netip.ParsePrefix(strings.TrimSpace(line))
		if err != nil || p != p.Masked() {
			return netip.Prefix{}, netip.Prefix{}, nil
		}
		if p.Addr().Is4() {
			v4 = p
		} else {
			v6 = p
		}
	}
	return v4, v6, nil
}

// SetSubnet keeps the host's subnets for the next start. A zero Prefix stands
// for none.
func (d Dir) SetSubnet(v4, v6 netip.Prefix) error {
	var lines []string
	for _, p := range []netip.Prefix{v4, v6} {
		if p.IsValid() {
			lines = append(lines, p.String())
		}
	}
	return d.write("subnet", strings.Join(lines, "\n"))
}

// Network returns the configuration that SetNetwork kept for an etcd prefix, nil
// when there is none, or one of another prefix.
func (d Dir) Network(prefix string) ([]byte, error) {
	of, config, err := d.LastNetwork()
	if of != prefix {
		return nil, err
	}
	return config, err
}

// SetNetwork keeps the network configuration of an etcd prefix, so that a start
// finds one also when etcd holds none that parses.
func (d Dir) SetNetwork(prefix string, config []byte) error {
	return d.write(networkName, prefix+"\n"+string(config))
}

// LastNetwork returns the configuration that SetNetwork kept last, and of which
// prefix it is; nil when there is none.
func (d Dir) LastNetwork() (prefix string, config []byte, err error) {
	text, err := d.read(networkName)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("read network configuration: %w", err)
	}
	prefix, rest, _ := strings.Cut(text, "\n")
	return prefix, []byte(rest), nil
}

// TAP returns the name and the index of the interface that SetTAP kept; "" and 0 when
// there is none. A file that does not parse counts as none.
func (d Dir) TAP() (name string, index int, err error) {
	text, err := d.read(tapName)
	if errors.Is(err, fs.ErrNotExist) {
		return "", 0, nil
	}
	if err != nil {
		return "", 0, fmt.Errorf("read the last TAP: %w", err)
	}
	name, number, _ := strings.Cut(text, " ")
	if index, err = strconv.Atoi(number); err != nil || index <= 0 {
		return "", 0, nil
	}
	return name, index, nil
}

// SetTAP keeps which interface the host's TAP is, so that a start under another name
// can remove it.
func (d Dir) SetTAP(name string, index int) error {
	return d.write(tapName, fmt.Sprintf("%s %d", name, index))
}

const (
	networkName = "network"
	tapName     = "tap"
	// What is kept of a VNI has names that begin so.
	macKind, tablesKind = "mac", "tables"
)

// Tables opens what SetTables kept for a VNI; nil when there is nothing. It stays
// as it is, whatever SetTables does meanwhile. Whoever opens it closes it.
func (d Dir) Tables(v encap.VNI) (*os.File, error) {
	f, err := os.Open(d.path(tablesName(v)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read last tables: %w", err)
	}
	return f, nil
}

// SetTables keeps the tables of a VNI, so that a start need not wait for etcd.
// The state directory knows nothing of their form: whoever reads them checks
// them.
func (d Dir) SetTables(v encap.VNI, tables io.WriterTo) error {
	return d.replace(tablesName(v), tables, secretMode)
}

func tablesName(v encap.VNI) string { return tablesKind + "." + v.String() }

// Tidy removes what writes that did not come to their end have left, if that is
// old enough to be nobody's at work.
func (d Dir) Tidy() error {
	left, err := filepath.Glob(d.path(".*.[0-9]*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range left {
		if i, err := os.Lstat(name); err == nil && i.Mode().IsRegular() && time.Since(i.ModTime()) > tempAge {
			errs = append(errs, os.Remove(name))
		}
	}
	return errors.Join(errs...)
}

// tempAge is how long a write takes at most.
const tempAge = time.Minute

// read returns the content of a file without the space around it.
func (d Dir) read(name string) (string, error) {
	b, err := os.ReadFile(d.path(name))
	return strings.TrimSpace(string(b)), err
}

// write replaces a file, ending it with a line feed.
func (d Dir) write(name, text string) error {
	return d.replace(name, strings.NewReader(text+"\n"), fileMode)
}

func (d Dir) replace(name string, content io.WriterTo, mode fs.FileMode) error {
	if err := os.MkdirAll(string(d), dirMode); err != nil {
		return err
	}
	if err := replaceFile(d.path(name), content, mode); err != nil {
		return fmt.Errorf("write %q: %w", d.path(name), err)
	}
	return nil
}

func (d Dir) path(name string) string { return filepath.Join(string(d), name) }
