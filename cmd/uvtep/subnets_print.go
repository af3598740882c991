package main

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/uvtep/uvtep/etcdsync"
)

// shortNode is how many digits of a node id tell hosts apart in a table.
const shortNode = 12

// printSubnets prints the subnets as a table. What etcd did not tell is "?",
// what there is not "-". What two hosts have that only one can is told below.
func printSubnets(w io.Writer, list []etcdsync.SubnetRecord) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SUBNET\tPUBLIC IP\tHOLDER\tALIVE\tBACKEND\tVNI\tVTEP MAC\tAGE\tLEFT\tCREATED")
	for i := range list {
		r := &list[i]
		if r.Fault != "" {
			fmt.Fprintf(t, "%s\tignored: %s\n", plain(r.Key), plain(r.Fault))
			continue
		}
		vni, mac := "-", "-"
		if !r.MAC.IsZero() {
			vni, mac = r.VNI.String(), r.MAC.String()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n", both(r.Subnet, r.Subnet6), both(r.PublicIP, r.PublicIPv6),
			plain(shorter(holder(r))), alive(r), plain(r.BackendType), vni, mac, age(r), timeLeft(r), r.Created)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return printConflicts(w, conflictsOf(list))
}

// conflictsOf are the conflicts of all records, each once.
func conflictsOf(list []etcdsync.SubnetRecord) []etcdsync.Conflict {
	var out []etcdsync.Conflict
	told := make(map[string]bool)
	for i := range list {
		for _, c := range list[i].Conflicts {
			if about := string(c.Kind) + c.What; !told[about] {
				told[about] = true
				out = append(out, c)
			}
		}
	}
	return out
}

// both joins what may be missing.
func both[T interface {
	comparable
	IsValid() bool
	String() string
}](v4, v6 T) string {
	switch {
	case !v6.IsValid():
		return v4.String()
	case !v4.IsValid():
		return v6.String()
	}
	return v4.String() + "," + v6.String()
}

// holder is a uvtep host's node id, or what else holds a subnet. Of a faulty
// record nobody knows.
func holder(r *etcdsync.SubnetRecord) string {
	switch {
	case r.Fault != "":
		return ""
	case r.NodeID != "":
		return r.NodeID
	case r.Reservation:
		return "reservation"
	}
	return "flannel"
}

func shorter(s string) string { return s[:min(shortNode, len(s))] }

// plain quotes what a stranger wrote into etcd when it would do more to a
// terminal than be read.
func plain(s string) string {
	if strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return strconv.Quote(s)
	}
	return s
}

func alive(r *etcdsync.SubnetRecord) string {
	switch {
	case r.Life != etcdsync.LifeUnknown:
		return r.Life.String()
	case r.Unanswered != "":
		return "?"
	}
	return "-"
}

func age(r *etcdsync.SubnetRecord) string {
	if r.Reservation {
		return "-"
	}
	return told(r, r.Age())
}

func timeLeft(r *etcdsync.SubnetRecord) string {
	if r.Reservation {
		return "never"
	}
	return told(r, r.TTL)
}

// told is a duration that is there when etcd told of the lease.
func told(r *etcdsync.SubnetRecord, d time.Duration) string {
	if r.Granted == 0 {
		return "?"
	}
	return d.Round(time.Second).String()
}

// subnetView is one row of `uvtep subnets -j`. The seconds are missing when
// etcd did not tell, and for a reservation.
type subnetView struct {
	Key         string `json:"key"`
	Subnet      string `json:"subnet,omitempty"`
	Subnet6     string `json:"subnet6,omitempty"`
	PublicIP    string `json:"public_ip,omitempty"`
	PublicIPv6  string `json:"public_ipv6,omitempty"`
	Holder      string `json:"holder,omitempty"` // node id, "flannel" or "reservation"
	NodeID      string `json:"node_id,omitempty"`
	Alive       string `json:"alive"` // yes, no, overdue or unknown
	BackendType string `json:"backend_type,omitempty"`
	VNI         uint32 `json:"vni"`
	Port        uint16 `json:"port"`
	VtepMAC     string `json:"vtep_mac,omitempty"`
	Lease       string `json:"lease,omitempty"` // as etcdctl writes it
	Granted     *int64 `json:"granted_seconds,omitempty"`
	Age         *int64 `json:"age_seconds,omitempty"` // since the lease was renewed
	ExpiresIn   *int64 `json:"expires_in_seconds,omitempty"`
	Reservation bool   `json:"reservation"`
	Created     int64  `json:"created_revision"`
	Revision    int64  `json:"revision"`
	Fault       string `json:"fault,omitempty"`
	Unanswered  string `json:"unanswered,omitempty"`
	// Conflicts are what the holder has in common with another host and cannot.
	Conflicts []etcdsync.Conflict `json:"conflicts,omitempty"`
}

func subnetViews(list []etcdsync.SubnetRecord) []subnetView {
	views := make([]subnetView, 0, len(list))
	for i := range list {
		views = append(views, newSubnetView(&list[i]))
	}
	return views
}

func newSubnetView(r *etcdsync.SubnetRecord) subnetView {
	v := subnetView{
		Key: r.Key, Subnet: text(r.Subnet), Subnet6: text(r.Subnet6), PublicIP: text(r.PublicIP), PublicIPv6: text(r.PublicIPv6),
		Holder: holder(r), NodeID: r.NodeID, Alive: r.Life.String(), BackendType: r.BackendType, VNI: uint32(r.VNI), Port: r.Port,
		Reservation: r.Reservation, Created: r.Created, Revision: r.Revision, Fault: r.Fault, Unanswered: r.Unanswered, Conflicts: r.Conflicts,
	}
	if !r.MAC.IsZero() {
		v.VtepMAC = r.MAC.String()
	}
	if !r.Reservation {
		v.Lease = strconv.FormatInt(r.Lease, 16)
	}
	if r.Granted != 0 {
		v.Granted, v.Age, v.ExpiresIn = inSeconds(r.Granted), inSeconds(r.Age()), inSeconds(r.TTL)
	}
	return v
}

func inSeconds(d time.Duration) *int64 { return new(int64(d / time.Second)) }

// text is v's text, nothing when it is not set.
func text[T interface {
	netip.Addr | netip.Prefix
	IsValid() bool
	String() string
}](v T) string {
	if !v.IsValid() {
		return ""
	}
	return v.String()
}
