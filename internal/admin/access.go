package admin

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// DefaultGroup may open the socket on a machine that has such a group.
const DefaultGroup = "uvtep"

// The socket is for its owner and its group. So is the folder around it, when
// it was made for it.
const (
	socketMode = 0o660
	dirMode    = 0o750
)

// Access is who may open a socket.
type Access struct {
	// Owner and Group are names, or numbers that have none.
	Owner, Group string
	// Fault is why the group is not the one that was wished for, or of no use;
	// empty when nothing is in the way.
	Fault string
}

// grant gives the socket to the group, and the folder that was made for it. A
// machine without the group leaves both to the owner's.
func grant(c Config, made bool) Access {
	a := accessTo(c.Path)
	g, err := user.LookupGroup(c.Group)
	if err != nil {
		return a // most machines have none
	}
	gid, err := strconv.Atoi(g.Gid)
	if err == nil {
		err = os.Chown(c.Path, -1, gid)
	}
	dir := filepath.Dir(c.Path)
	if err == nil && made {
		err = os.Chown(dir, -1, gid)
	}
	if err != nil {
		a.Fault = err.Error() + "; give it to the group yourself, or run the agent as root"
		return a
	}
	a = accessTo(c.Path)
	if i, err := os.Stat(dir); err == nil && shut(i, gid) {
		a.Fault = fmt.Sprintf("%s does not let the group in; `chgrp %s %s` does", dir, c.Group, dir)
	}
	return a
}

// shut reports whether a folder keeps a group out.
func shut(i fs.FileInfo, gid int) bool {
	s, ok := i.Sys().(*syscall.Stat_t)
	return ok && i.Mode()&0o001 == 0 && (int(s.Gid) != gid || i.Mode()&0o010 == 0)
}

// accessTo reads who may open what there is at path, and nothing if that cannot
// be told.
func accessTo(path string) Access {
	i, err := os.Stat(path)
	if err != nil {
		return Access{}
	}
	s, ok := i.Sys().(*syscall.Stat_t)
	if !ok {
		return Access{}
	}
	a := Access{Owner: strconv.Itoa(int(s.Uid)), Group: strconv.Itoa(int(s.Gid))}
	if u, err := user.LookupId(a.Owner); err == nil {
		a.Owner = u.Username
	}
	if g, err := user.LookupGroupId(a.Group); err == nil {
		a.Group = g.Name
	}
	return a
}

// advice says to who may not open a socket how to become one who may.
func advice(socket string) string {
	a := accessTo(socket)
	if a.Group == "" { // the folder hides it
		a = accessTo(filepath.Dir(socket))
	}
	switch a.Group {
	case "":
		return "use sudo"
	case "root", a.Owner:
		return fmt.Sprintf("it is %s's; use sudo, or make a group for it: `groupadd --system %s`, `usermod -aG %[2]s $USER`, and restart the agent", a.Owner, DefaultGroup)
	}
	return fmt.Sprintf("it is for %s and the group %s; use sudo, or join the group (`usermod -aG %[2]s $USER`, then log in again)", a.Owner, a.Group)
}
