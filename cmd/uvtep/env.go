package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// flannelFlags are those that flanneld has too: their environment twin falls
// back to flanneld's.
var flannelFlags = map[string]bool{
	"etcd-endpoints": true, "etcd-prefix": true, "etcd-cafile": true, "etcd-certfile": true, "etcd-keyfile": true,
	"etcd-username": true, "iface": true, "iface-regex": true, "iface-can-reach": true, "subnet-file": true,
	"public-ip": true, "public-ipv6": true, "ip-masq": true,
}

// fromEnvironment sets every flag that the command line left alone from its
// environment twin: UVTEP_ and the name in upper case with _ for -. All bad
// values are reported at once. --force has none: it is for what is before
// somebody's eyes.
func fromEnvironment(flags *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" || f.Name == "force" {
			return
		}
		twin := strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		names := []string{"UVTEP_" + twin}
		if flannelFlags[f.Name] {
			names = append(names, "FLANNELD_"+twin)
		}
		for _, name := range names {
			v, _ := lookup(name)
			if v == "" {
				continue // empty is unset, as in the environment files of services
			}
			if err := flags.Set(f.Name, v); err != nil {
				errs = append(errs, fmt.Errorf("environment %s: %w", name, err))
			}
			return
		}
	})
	return errors.Join(errs...)
}
