package main

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/uvtep/uvtep/encap/ether"
)

// table is a table of a running agent that a command shows.
type table[T tableRow] struct {
	use, short, long, example string
	path                      string
	parameters                []string          // that the agent takes
	words                     map[string]string // filters as iproute2 spells them: the parameters
	bare                      string            // the parameter of a value without a word, "" for none
	families                  bool              // there are rows of two families
	hide                      func(*T, url.Values)
}

func fdbTable() *table[fdbRow] {
	return &table[fdbRow]{
		use: "fdb", short: "Which VTEP each MAC address is behind, as `bridge fdb show` says it",
		long: "Filters: dev DEV, dst ADDRESS, vni VNI, mac MAC, state STATE. Flooded frames go to the\n" +
			"VTEPs under 00:00:00:00:00:00. -s adds `used N/M`: uvtep does not note when a row is used,\n" +
			"so both are the seconds since the row is in force, or since the agent has its tables\n" +
			"if that is less. -d adds etcd's revision of the record that it comes from, and its origin:\n" +
			"lease, static or endpoint.",
		example: "  uvtep fdb show dst 192.0.2.2\n  uvtep fdb get 0a:00:00:00:00:02\n  uvtep fdb show -w",
		path:    fdbPath, parameters: fdbParameters,
		words: map[string]string{"dev": "dev", "brport": "dev", "dst": "dst", "vni": "vni", "mac": "mac", "lladdr": "mac", "state": "state"},
		hide: func(r *fdbRow, v url.Values) {
			if v.Has("dev") {
				r.Ifname = ""
			}
		},
	}
}

func neighTable() *table[neighRow] {
	return &table[neighRow]{
		use: "neigh", short: "What ARP and neighbour discovery are answered, as `ip neigh show` says it",
		long: "Filters: [to] PREFIX, dev DEV, nud STATE. -s adds `used N/N/N`, the seconds since the row\n" +
			"is in force, or since the agent has its tables if that is less; -d adds etcd's revision of\n" +
			"the record that it comes from, and its origin: lease, static or endpoint.",
		example: "  uvtep neigh show to 10.10.3.0/24\n  uvtep neigh show -w",
		path:    neighPath, parameters: neighParameters,
		words: map[string]string{"to": "to", "dev": "dev", "nud": "nud"}, bare: "to", families: true,
		hide: func(r *neighRow, v url.Values) {
			if v.Has("dev") {
				r.Dev = ""
			}
		},
	}
}

func routeTable() *table[routeRow] {
	return &table[routeRow]{
		use: "route", short: "The kernel routes into the overlay, as `ip route show` says it",
		long: "Filters: [to] [root|match|exact] PREFIX, via ADDRESS, dev DEV, proto 86. Routes of both\n" +
			"families are shown; -4 and -6 choose one. -s adds the age, since the route is asked of the\n" +
			"kernel or since the agent has its tables if that is less; -d adds etcd's revision of the\n" +
			"lease that it comes from.",
		example: "  uvtep route show match 10.10.3.7\n  uvtep route show -w",
		path:    routePath, parameters: routeParameters,
		words: map[string]string{"to": "exact", "exact": "exact", "root": "root", "match": "match", "via": "via", "dev": "dev",
			"proto": "proto", "protocol": "proto"},
		bare: "exact", families: true,
		hide: func(r *routeRow, v url.Values) {
			if v.Has("dev") {
				r.Dev = ""
			}
			if v.Has("proto") {
				r.Protocol = ""
			}
			if v.Has("via") {
				r.Gateway = ""
			}
		},
	}
}

func newFDB() *cobra.Command {
	c := fdbTable().command()
	c.AddCommand(newFDBGet())
	return c
}

func newNeigh() *cobra.Command { return neighTable().command() }

func newRoute() *cobra.Command { return routeTable().command() }

// command is the command that shows a table, and its twin with the word show.
func (t *table[T]) command() *cobra.Command {
	c := t.show(t.use)
	for _, word := range []string{"show", "list"} {
		twin := t.show(word)
		twin.Short, twin.Long, twin.Hidden = "The same", "", word == "list"
		c.AddCommand(twin)
	}
	return c
}

// tableFlags are those of a table.
type tableFlags struct {
	looking
	stats, details, four, six bool
}

func (f *tableFlags) style() style { return style{ages: f.stats, details: f.details} }

func (t *table[T]) show(use string) *cobra.Command {
	f := new(tableFlags)
	c := &cobra.Command{
		Use: use + " [FILTER]...", Short: t.short, Long: t.short + ".\n\n" + t.long, Example: t.example,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := t.query(cmd, args, f)
			if err != nil {
				return err
			}
			return t.run(cmd, f, v)
		},
	}
	f.register(c.Flags())
	c.Flags().Lookup("json").Usage = "print JSON, with iproute2's keys"
	c.Flags().Lookup("watch").Usage = "go on until Ctrl-C with what changes, as bridge monitor does"
	c.Flags().BoolVarP(&f.stats, "stats", "s", false, "tell how long rows are in force")
	c.Flags().BoolVarP(&f.details, "details", "d", false, "tell where rows come from")
	if t.families {
		c.Flags().BoolVarP(&f.four, "ipv4", "4", false, "IPv4 alone")
		c.Flags().BoolVarP(&f.six, "ipv6", "6", false, "IPv6 alone")
	}
	return c
}

// query is what is asked of the agent: the filters and the flags.
func (t *table[T]) query(cmd *cobra.Command, args []string, f *tableFlags) (url.Values, error) {
	v, err := t.filters(args)
	err = errors.Join(err, f.validate())
	if f.four && f.six {
		err = errors.Join(err, errors.New("-4 and -6: choose one, or neither for both"))
	}
	if err != nil {
		return nil, usageError{fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())}
	}
	switch {
	case f.four:
		v.Set("family", "inet")
	case f.six:
		v.Set("family", "inet6")
	}
	if f.stats || f.details {
		v.Set("stats", "true")
	}
	return v, nil
}

// filters reads iproute2's filters: words with a value each.
func (t *table[T]) filters(args []string) (url.Values, error) {
	v := url.Values{}
	for i := 0; i < len(args); i++ {
		name, known := t.words[args[i]]
		if known && i+1 < len(args) && args[i] == "to" && t.words[args[i+1]] != "" {
			continue // to match PREFIX
		}
		switch {
		case known && i+1 == len(args):
			return nil, fmt.Errorf("%s: say which", args[i])
		case known:
			i++
		case t.bare == "" || strings.ContainsFunc(args[i], func(c rune) bool { return c >= 'g' && c <= 'z' }):
			return nil, fmt.Errorf("%q is no filter: there is %s", args[i], strings.Join(t.known(), ", "))
		default:
			name = t.bare
		}
		if v.Has(name) {
			return nil, fmt.Errorf("%s: say it once", name)
		}
		v.Set(name, args[i])
	}
	_, err := parseFilter(v, t.parameters)
	return v, err
}

func (t *table[T]) known() []string {
	var out []string
	for word := range t.words {
		out = append(out, word)
	}
	slices.Sort(out)
	return out
}

// newFDBGet is `bridge fdb get`.
func newFDBGet() *cobra.Command {
	t := &table[fdbRow]{words: map[string]string{"to": "mac", "dev": "dev", "brport": "dev", "vni": "vni"}, bare: "mac", path: fdbPath, parameters: fdbParameters}
	f := new(tableFlags)
	c := &cobra.Command{
		Use:     "get [to] MAC [vni VNI] [dev DEV]",
		Short:   "The row of one MAC address, as `bridge fdb get` says it",
		Long:    "The row of one MAC address, as `bridge fdb get` says it; exit status 1 if there is none.",
		Example: "  uvtep fdb get 0a:00:00:00:00:02\n  uvtep fdb get 0a:00:00:00:00:02 vni 7 -s",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := t.macFirst(args, f)
			if err != nil {
				return usageError{fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())}
			}
			got, err := t.fetch(cmd.Context(), f.socket, v)
			if err != nil {
				return err
			}
			if len(got.Rows) == 0 && len(v) > 1 {
				return fmt.Errorf("no row for %s is like that; `uvtep fdb get %[1]s` tells whether there is any", v.Get("mac"))
			}
			if len(got.Rows) == 0 {
				return fmt.Errorf("no row for %s: frames to it are dropped; `uvtep fdb show` has those that there are, `uvtep endpoints list` what etcd has", v.Get("mac"))
			}
			return t.print(cmd.OutOrStdout(), f, got.Rows)
		},
	}
	adminFlag(c.Flags(), &f.socket)
	c.Flags().BoolVarP(&f.asJSON, "json", "j", false, "print JSON, with iproute2's keys")
	c.Flags().BoolVarP(&f.stats, "stats", "s", false, "tell how long it is in force")
	c.Flags().BoolVarP(&f.details, "details", "d", false, "tell where it comes from")
	return c
}

// macFirst reads the words of get, which may have a bare MAC address.
func (t *table[T]) macFirst(args []string, f *tableFlags) (url.Values, error) {
	v := url.Values{}
	if _, err := ether.ParseAddr(args[0]); err == nil {
		v.Set("mac", args[0])
		args = args[1:]
	}
	words, err := t.filters(args)
	if err != nil {
		return nil, err
	}
	for name := range words {
		v.Set(name, words.Get(name))
	}
	if _, err := ether.ParseAddr(v.Get("mac")); err != nil {
		return nil, fmt.Errorf("say which MAC address: %w", err)
	}
	if f.stats || f.details {
		v.Set("stats", "true")
	}
	return v, nil
}
