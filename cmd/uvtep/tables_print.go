package main

import (
	"fmt"
	"strings"
)

// tableRow is a row of a table as a command shows it.
type tableRow interface {
	// line is the row as iproute2 prints it.
	line(s style) string
	// id tells rows apart: one that comes in the place of another has its id.
	id() string
}

// style is what a line tells besides. The zero style tells nothing that changes
// by itself.
type style struct {
	ages    bool // how long the row is in force
	details bool // where it comes from
}

func (r fdbRow) line(s style) string {
	b := new(strings.Builder)
	b.WriteString(r.MAC)
	word(b, "dev", r.Ifname)
	word(b, "dst", r.Dst)
	number(b, "port", int(r.Port))
	number(b, "vni", int(r.VNI))
	if s.ages && r.Used != nil && r.Updated != nil {
		fmt.Fprintf(b, " used %d/%d", *r.Used, *r.Updated)
	}
	r.write(b, s)
	fmt.Fprintf(b, " %s %s", strings.Join(r.Flags, " "), r.State)
	return b.String()
}

// id is the address, and where flooded frames go: there are many of those.
func (r fdbRow) id() string {
	if r.MAC == "00:00:00:00:00:00" {
		return fmt.Sprintf("%d %s %s %d", r.VNI, r.MAC, r.Dst, r.Port)
	}
	return fmt.Sprintf("%d %s", r.VNI, r.MAC)
}

func (r neighRow) line(s style) string {
	b := new(strings.Builder)
	b.WriteString(r.Dst)
	word(b, "dev", r.Dev)
	word(b, "lladdr", r.LLAddr)
	if s.ages && r.Used != nil && r.Confirmed != nil && r.Updated != nil && r.Probes != nil {
		fmt.Fprintf(b, " used %d/%d/%d probes %d", *r.Used, *r.Confirmed, *r.Updated, *r.Probes)
	}
	r.write(b, s)
	fmt.Fprintf(b, " %s", strings.Join(r.State, ","))
	return b.String()
}

func (r neighRow) id() string { return r.Dst }

func (r routeRow) line(s style) string {
	b := new(strings.Builder)
	b.WriteString(r.Dst)
	word(b, "via", r.Gateway)
	word(b, "dev", r.Dev)
	word(b, "proto", r.Protocol)
	number(b, "metric", r.Metric)
	for _, f := range r.Flags {
		b.WriteString(" " + f)
	}
	for _, m := range r.Metrics {
		number(b, "mtu", m.MTU)
	}
	word(b, "pref", r.Pref)
	if s.ages && r.Age != nil {
		fmt.Fprintf(b, " age %dsec", *r.Age)
	}
	r.write(b, s)
	return b.String()
}

func (r routeRow) id() string { return r.Dst }

// write tells where a row comes from.
func (h history) write(b *strings.Builder, s style) {
	if s.details && h.Revision != 0 {
		fmt.Fprintf(b, " rev %d origin %s", h.Revision, h.Origin)
	}
}

// word writes a word and its value, if it has one.
func word(b *strings.Builder, name, value string) {
	if value != "" {
		b.WriteString(" " + name + " " + value)
	}
}

func number(b *strings.Builder, name string, n int) {
	if n != 0 {
		fmt.Fprintf(b, " %s %d", name, n)
	}
}
