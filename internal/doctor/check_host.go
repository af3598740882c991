package doctor

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// checkDocker tells whether containers get addresses of the lease.
func checkDocker(r *report, f *Facts) {
	if f.Agent.NoSubnet || len(f.Network.Own) == 0 {
		return
	}
	if f.SubnetFileErr != nil && f.Agent.State == Answers {
		r.add(Warning, "restart the agent; --subnet-file says where it writes it", "docker and CNI find no subnet file: %v", f.SubnetFileErr)
	}
	for _, l := range f.Links {
		if l.Name == "docker0" && len(l.Addrs) > 0 && !slices.ContainsFunc(l.Addrs, func(a netip.Prefix) bool { return inOne(f.Network.Own, a.Addr()) }) {
			r.add(Note, "dockerd $(uvtep docker-opts), and restart it", "docker0 has %s, which is not of this host's subnet %s: its containers are not in the overlay", l.Addrs[0], prefixes(f.Network.Own))
		}
	}
	if ls := f.containerLinks(); len(ls) > 0 {
		r.ok("%s has an address of this host's subnet", ls[0].Name)
	}
}

// The programs that manage interfaces, by the first 15 bytes of their names.
const (
	networkManager = "NetworkManager"
	networkd       = "systemd-network"
)

// managers are the names of programs that may manage the TAP.
var managers = [...]string{networkManager, networkd, "dhclient", "dhcpcd", "udhcpc"}

// Managers returns the names of the programs that may manage the TAP.
func Managers() []string { return managers[:] }

// ManagerFiles are where their configuration is, as patterns of files.
func ManagerFiles() []string {
	var out []string
	for _, dir := range []string{"/etc", "/run", "/usr/lib"} {
		out = append(out, dir+"/NetworkManager/conf.d/*.conf", dir+"/systemd/network/*.network")
	}
	return append(out, "/etc/NetworkManager/NetworkManager.conf")
}

// checkManagers tells which program may take the TAP's addresses and routes.
func checkManagers(r *report, f *Facts) {
	tap := f.TAP.Name
	for _, p := range f.Programs {
		switch p.Name {
		case networkManager:
			if !f.unmanaged(tap) {
				r.add(Warning, "printf '[keyfile]\\nunmanaged-devices=interface-name:uvtep*\\n' >/etc/NetworkManager/conf.d/uvtep.conf && nmcli general reload",
					"NetworkManager runs and nothing tells it to leave %s alone: it may take its addresses and routes", tap)
			}
		case networkd:
			if file := f.networkFile(tap); file != "" {
				r.add(Warning, fmt.Sprintf("printf '[Match]\\nName=%s\\n[Link]\\nUnmanaged=yes\\n' >/etc/systemd/network/00-uvtep.network && networkctl reload", tap),
					"systemd-networkd manages %s: %s matches it", tap, file)
			}
		default:
			if askedFor(p.Args, tap) {
				r.add(Warning, fmt.Sprintf("kill %d, and keep it from %s", p.PID, tap), "%s (process %d) asks for an address on %s by DHCP", p.Name, p.PID, tap)
			}
		}
	}
	r.ok("no other program manages %s", tap)
}

// askedFor reports whether a DHCP client works on an interface: dhcpcd does on
// all when it is told none.
func askedFor(args []string, tap string) bool {
	if slices.Contains(args, tap) {
		return true
	}
	named := slices.ContainsFunc(args[min(1, len(args)):], func(a string) bool { return !strings.HasPrefix(a, "-") })
	return len(args) > 0 && path.Base(args[0]) == "dhcpcd" && !named
}

// unmanaged reports whether NetworkManager is told to leave an interface alone.
func (f *Facts) unmanaged(tap string) bool {
	for _, file := range f.Files {
		if !strings.Contains(file.Path, "NetworkManager") {
			continue
		}
		for line := range strings.Lines(file.Text) {
			list, ok := strings.CutPrefix(strings.ReplaceAll(line, " ", ""), "unmanaged-devices=")
			if ok && slices.ContainsFunc(strings.FieldsFunc(list, func(c rune) bool { return strings.ContainsRune(",;\n", c) }), func(d string) bool { return isDevice(d, tap) }) {
				return true
			}
		}
	}
	return false
}

// isDevice reports whether a device of NetworkManager's list is an interface.
func isDevice(d, tap string) bool {
	name, byName := strings.CutPrefix(d, "interface-name:")
	name = strings.TrimPrefix(name, "=")
	ok, _ := path.Match(name, tap)
	return byName && ok || d == "*"
}

// networkFile is the file by which networkd manages an interface: the first that
// matches, by its name without the folder, unless it says to leave it alone.
func (f *Facts) networkFile(tap string) string {
	var files []File
	for _, x := range f.Files {
		if strings.HasSuffix(x.Path, ".network") && !slices.ContainsFunc(files, func(y File) bool { return path.Base(y.Path) == path.Base(x.Path) }) {
			files = append(files, x)
		}
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(path.Base(a.Path), path.Base(b.Path)) })
	for _, x := range files {
		if matched, unmanaged := networkSection(x.Text, tap); matched {
			if unmanaged {
				return ""
			}
			return x.Path
		}
	}
	return ""
}

// networkSection reads a .network file: whether it is about an interface by its
// name, and whether it says to leave it alone. Matches by other things than the
// name are not of TAPs as a rule.
func networkSection(text, tap string) (matched, unmanaged bool) {
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		switch {
		case section == "[Match]" && strings.TrimSpace(key) == "Name":
			for _, pattern := range strings.Fields(value) {
				ok, _ := path.Match(pattern, tap)
				matched = matched || ok
			}
		case section == "[Link]" && strings.TrimSpace(key) == "Unmanaged":
			unmanaged = slices.Contains([]string{"yes", "true", "1", "on"}, strings.ToLower(strings.TrimSpace(value)))
		}
	}
	return matched, unmanaged
}
