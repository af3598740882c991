package main

import "strings"

// flags2 are iproute2's flags, which stand before the table there, and what they
// are called here.
var flags2 = map[string]string{
	"-j": "-j", "-json": "-j", "--json": "-j", "-s": "-s", "-stats": "-s", "-statistics": "-s", "--statistics": "-s", "--stats": "-s",
	"-d": "-d", "-details": "-d", "--details": "-d", "-4": "-4", "-6": "-6", "-p": "", "-pretty": "", "--pretty": "",
}

// tables2 are the commands that take them.
var tables2 = map[string]bool{"fdb": true, "neigh": true, "route": true, "link": true, "stats": true, "status": true}

// iproute2 lets a command line be written as for iproute2, its flags in front:
// `uvtep -j fdb show` is `uvtep fdb show -j`.
func iproute2(args []string) []string {
	var flags []string
	for i, arg := range args {
		flag, known := flags2[arg]
		if known && flag != "" {
			flags = append(flags, flag)
		}
		switch {
		case known:
		case i > 0 && tables2[arg] && !strings.HasPrefix(arg, "-"):
			return append(append([]string{}, args[i:]...), flags...)
		default:
			return args
		}
	}
	return args
}
