package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/internal/admin"
)

// rows is what an agent forwards by, or what it should: a line a row, sorted.
// FDB: "MAC dst IP port N"; neigh: "IP lladdr MAC"; route: "CIDR via IP".
type rows struct{ FDB, Neigh, Route, Kernel []string }

// served is what an agent serves of a table.
type served struct {
	Revision int64
	Rows     []struct {
		MAC, Dst, LLAddr, Gateway string
		Port, VNI                 int
	}
}

// dump asks an agent for its tables, and its kernel for the routes.
func dump(ctx context.Context, t testing.TB, h *lab.Host) (r rows, err error) {
	t.Helper()
	for _, table := range []struct {
		path string
		into *[]string
	}{{"/v1/fdb", &r.FDB}, {"/v1/neigh", &r.Neigh}, {"/v1/route", &r.Route}} {
		var a served
		if err := admin.Get(ctx, h.AdminSocket, table.path, &a); err != nil {
			return r, err
		}
		for _, x := range a.Rows {
			line := fmt.Sprintf("%s via %s", x.Dst, x.Gateway)
			switch {
			case x.MAC != "":
				line = fdbLine(x.MAC, x.Dst, x.Port)
			case x.LLAddr != "":
				line = x.Dst + " lladdr " + x.LLAddr
			}
			if x.VNI != 0 {
				line += " of another network"
			}
			*table.into = append(*table.into, line)
		}
		slices.Sort(*table.into)
	}
	rs, err := h.Routes(h.TAP)
	for _, x := range rs {
		if x.Via.IsValid() {
			r.Kernel = append(r.Kernel, fmt.Sprintf("%s via %s", x.Dst, x.Via))
		}
	}
	slices.Sort(r.Kernel)
	return r, err
}

func fdbLine(mac, dst string, port int) string {
	if port == 0 {
		port = 4789
	}
	return fmt.Sprintf("%s dst %s port %d", mac, dst, port)
}

// stored is any value in etcd, as far as tables are concerned.
type stored struct {
	PublicIP    string
	BackendType string
	BackendData struct {
		VtepMAC string
		NodeID  string
		Port    int
	}
	Backend struct{ Flood bool }
	IPs     []string
	VTEP    string
	Seq     int
}

// station is who says what about a MAC address, in the order in which they are
// believed.
type station struct {
	rank, seq int // 0 a lease, 1 static, 2 an endpoint
	vtep      string
	port      int
	ips       []string
}

// said works out what a host of that address should hold, from the keys that
// there are. It knows the formats, and shares no code with what is tested.
func said(keys map[string]string, own netip.Addr) (rows, error) {
	var (
		stations = map[string][]station{}
		address  = map[string]string{} // of a node that has a record
		vteps    = map[string]bool{}
		flood    bool
		out      rows
	)
	for _, key := range slices.Sorted(maps.Keys(keys)) { // a host's endpoints come before its record
		var v stored
		path := strings.Split(strings.TrimPrefix(key, prefix+"/"), "/")
		if json.Unmarshal([]byte(keys[key]), &v) != nil {
			continue
		}
		switch path[0] {
		case "config":
			flood = v.Backend.Flood
		case "subnets":
			if v.BackendType != "vxlan" || v.PublicIP == own.String() {
				continue
			}
			ip, bits, _ := strings.Cut(path[1], "-")
			out.Route = append(out.Route, ip+"/"+bits+" via "+ip)
			d := v.BackendData
			stations[d.VtepMAC] = append(stations[d.VtepMAC], station{vtep: v.PublicIP, port: d.Port, ips: []string{ip}})
			vteps[fdbLine(zeroMAC, v.PublicIP, d.Port)] = true
		case "uvtep":
			switch {
			case path[1] == "static":
				stations[path[3]] = append(stations[path[3]], station{rank: 1, vtep: v.VTEP, ips: v.IPs})
				vteps[fdbLine(zeroMAC, v.VTEP, 0)] = true
			case path[3] == "host" && v.PublicIP != own.String():
				address[path[2]] = v.PublicIP
				vteps[fdbLine(zeroMAC, v.PublicIP, 0)] = true
			}
		}
	}
	for key, value := range keys {
		path := strings.Split(strings.TrimPrefix(key, prefix+"/"), "/")
		if len(path) != 6 || path[3] != "endpoints" || address[path[2]] == "" {
			continue
		}
		var v stored
		if err := json.Unmarshal([]byte(value), &v); err != nil {
			return out, err
		}
		stations[path[5]] = append(stations[path[5]], station{rank: 2, seq: v.Seq, vtep: address[path[2]], ips: v.IPs})
	}
	bound := map[string]string{}
	for mac, claims := range stations {
		s := slices.MinFunc(claims, func(a, b station) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(b.seq, a.seq)) })
		out.FDB = append(out.FDB, fdbLine(mac, s.vtep, s.port))
		for _, ip := range s.ips {
			if other, taken := bound[ip]; taken && other != mac {
				return out, fmt.Errorf("two of the test's stations have %s: %s and %s", ip, mac, other)
			}
			bound[ip] = mac
			out.Neigh = append(out.Neigh, ip+" lladdr "+mac)
		}
	}
	if flood {
		out.FDB = append(out.FDB, slices.Collect(maps.Keys(vteps))...)
	}
	slices.Sort(out.FDB)
	slices.Sort(out.Neigh)
	slices.Sort(out.Route)
	out.Kernel = out.Route
	return out, nil
}

const zeroMAC = "00:00:00:00:00:00"

// holdWhatEtcdSays waits until the tables of hosts and the routes in their
// kernels are exactly what etcd says.
func holdWhatEtcdSays(ctx context.Context, t testing.TB, l *lab.Lab, hosts ...*lab.Host) {
	t.Helper()
	for _, h := range hosts {
		diff := "not known yet"
		eventually(ctx, t, h.Name+" holds what etcd says", func() (bool, string) {
			keys, err := l.List(ctx, prefix+"/")
			if err != nil {
				return false, err.Error() + "\n" + diff
			}
			want, err := said(keys, h.Addr)
			must(t, err)
			got, err := dump(ctx, t, h)
			if err != nil {
				return false, err.Error() + "\n" + diff
			}
			diff = gocmp.Diff(want, got)
			return diff == "", "(-etcd +host)\n" + diff
		})
	}
}

// holdings are the rows of all hosts.
func holdings(ctx context.Context, t testing.TB, hosts ...*lab.Host) map[string]rows {
	t.Helper()
	all := map[string]rows{}
	for _, h := range hosts {
		r, err := dump(ctx, t, h)
		must(t, err)
		all[h.Name] = r
	}
	return all
}

// holdStill fails if the rows of hosts are not as before.
func holdStill(ctx context.Context, t testing.TB, before map[string]rows, hosts ...*lab.Host) {
	t.Helper()
	for _, h := range hosts {
		got, err := dump(ctx, t, h)
		must(t, err)
		if diff := gocmp.Diff(before[h.Name], got); diff != "" {
			t.Errorf("%s: the tables changed (-before +after):\n%s", h.Name, diff)
		}
	}
}
