package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/uvtep/uvtep/bench/lab"
)

var update = flag.Bool("update", false, "write what commands print into testdata, instead of comparing")

// commandsFile has command lines, each behind "$ ", with what they print and their
// exit status if it is not 0. HOST1 is an agent's TAP's MAC address, and so on:
// see commandMasks. "as nobody" in front runs a command without rights.
const commandsFile = "testdata/commands.txt"

// commandMasks are what differs from run to run, and what stands for it.
var commandMasks = []struct {
	what *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "NODE"},
	{regexp.MustCompile(`uvtep dev, up \S+`), "uvtep dev, up TIME"},
	{regexp.MustCompile(`leased for \S+; host record for \d+s`), "leased for TIME; host record for TIME"},
	{regexp.MustCompile(`heard up to revision \d+, [\d.]+s ago`), "heard up to revision N, N seconds ago"},
	{regexp.MustCompile(`(revision|rev) \d+`), "$1 N"},
	{regexp.MustCompile(`"(lease|age_seconds|expires_in_seconds|created_revision|revision)": [^,\n]+`), `"$1": N`},
	{regexp.MustCompile(`(?m)^( +)([A-Z]\w+|datagrams sent|messages|system calls|too big|no room|refused|overrun|plain echoes \w+|conflicts)( +\d+)+ *$`), "$1$2 N"},
	{regexp.MustCompile(`(?m)^ +\d+( +\d+){5}\n`), ""},                     // a lane: as many as the machine has
	{regexp.MustCompile(` {2,}(frames|bytes|count)( out| in|)`), "  $1$2"}, // how wide columns are
	{regexp.MustCompile(`(?m)  [0-9a-f]{12}(  yes +vxlan +1 +\S+) .*`), "  NODE$1 AGE LEFT N"},
	{regexp.MustCompile(`(?m)^( +[\d.]+  [\d./]+) +\S+( +\d+){4}$`), "$1  AGE N"}, // a peer
	{regexp.MustCompile(`subnet +age`), "subnet  age"},
	{regexp.MustCompile(`AGE +LEFT +CREATED`), "AGE LEFT CREATED"},
	{regexp.MustCompile(`192\.0\.2\.1:\d{5}`), "192.0.2.1:PORT"},
	{regexp.MustCompile(`0x[0-9a-f]{8} chose port \d+`), "HASH chose PORT"},
	{regexp.MustCompile(`[\d.]+/[\d.]+/[\d.]+/[\d.]+ +`), "TIMES "},
	{regexp.MustCompile(`MDEV MS +`), "MDEV MS "},
	{regexp.MustCompile(`used \d+/\d+/\d+`), "used N/N/N"},
	{regexp.MustCompile(`used \d+/\d+`), "used N/N"},
	{regexp.MustCompile(`age \d+sec`), "age Nsec"},
	{regexp.MustCompile(`last \d+s`), "last TIME"},
	{regexp.MustCompile(`[\d.]+[kMG]? frames/s, [\d.]+[kMG]?B/s`), "N frames/s, N bytes/s"},
	{regexp.MustCompile(`(answered +)[\d.]+/s`), "${1}N/s"},
	{regexp.MustCompile(`(dropped +)[\d.]+/s.*`), "${1}N/s"},
	{regexp.MustCompile(`(features +).*`), "${1}LIST"},
	{regexp.MustCompile(`(index +)\d+`), "${1}N"},
	{regexp.MustCompile(`(source_ports 8: ).*`), "${1}LIST"},
	{regexp.MustCompile(`(?m)^( +(multi_queue|steady_flows|vnet_hdr|tso|uso|udp_segment|udp_gro|mmsg|ppoll|priority|real_time) +)(yes|no).*`), "${1}YES OR NO"},
	{regexp.MustCompile(`(?m)^( +(recv|send)_buffer +)\d+ bytes.*`), "${1}N bytes"},
	{regexp.MustCompile(`(?m)^( +queues +)\d+, for \d+ lanes`), "${1}N, for N lanes"},
	{regexp.MustCompile(`(?m)^WARNING: \S+ (is not in use|has \d+ of).*\n`), ""}, // what the kernel here does not have
	{regexp.MustCompile(`(?m)[ \t]+$`), ""},
}

// TestCommandsPrintWhatIsWrittenDown runs commands beside a running agent. With
// -update it writes down what they print now.
func TestCommandsPrintWhatIsWrittenDown(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2})
	must(t, os.Chmod(filepath.Dir(program), 0o755))
	h := l.Hosts[0]
	names := []string{h.AdminSocket, "SOCKET", l.Dir, "DIR"} // the socket first: it is in the folder
	for i, h := range l.Hosts {
		link, err := h.Link(h.TAP)
		must(t, err)
		names = append(names, link.MAC.String(), fmt.Sprintf("HOST%d", i+1))
	}
	t.Setenv("UVTEP_ADMIN_SOCKET", h.AdminSocket)
	t.Setenv("UVTEP_ETCD_ENDPOINTS", l.EtcdURLs()[0])
	file, err := os.ReadFile(commandsFile)
	must(t, err)
	var now strings.Builder
	for line := range strings.Lines(string(file)) {
		command, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			if *update && !strings.HasPrefix(line, "#") {
				continue
			}
			if strings.HasPrefix(line, "#") {
				now.WriteString(line)
			}
			continue
		}
		now.WriteString(line + ran(ctx, t, h, strings.TrimSpace(command), names))
	}
	if *update {
		must(t, os.WriteFile(commandsFile, []byte(now.String()), 0o644))
		return
	}
	if diff := cmp.Diff(strings.Split(string(file), "\n"), strings.Split(now.String(), "\n")); diff != "" {
		t.Errorf("-%s +now (go test -run %s ./bench -update writes it anew):\n%s", commandsFile, t.Name(), diff)
	}
}

// ran runs a command of the file and returns what it printed, masked, and its
// exit status. names are what differs from run to run and what stands for it, in
// turn.
func ran(ctx context.Context, t *testing.T, h *lab.Host, command string, names []string) string {
	t.Helper()
	for i := 0; i < len(names); i += 2 {
		command = strings.ReplaceAll(command, names[i+1], names[i])
	}
	line, unprivileged := strings.CutPrefix(command, "as nobody ")
	words := strings.Fields(strings.TrimPrefix(line, "uvtep"))
	code, said := 0, ""
	if unprivileged {
		code, said = asNobody(ctx, t, words)
	} else {
		code, said = runOn(ctx, t, h, words...)
	}
	said = strings.NewReplacer(names...).Replace(said)
	for _, m := range commandMasks {
		said = m.what.ReplaceAllString(said, m.as)
	}
	if said != "" && !strings.HasSuffix(said, "\n") {
		said += "\n"
	}
	if code != 0 {
		said += fmt.Sprintf("exit status %d\n", code)
	}
	return said
}

// asNobody runs a command as a user who may do nothing.
func asNobody(ctx context.Context, t *testing.T, words []string) (int, string) {
	t.Helper()
	c := exec.CommandContext(ctx, program, words...)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := c.CombinedOutput()
	exit := new(exec.ExitError)
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(out)
}

// watcher runs a command with -w on a host until the test ends.
func watcher(t *testing.T, h *lab.Host, args ...string) *lab.Process {
	t.Helper()
	p, err := h.Start(program, append(args, "--admin-socket", h.AdminSocket)...)
	must(t, err)
	return p
}

func TestTablesAreFollowed(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2})
	h := l.Hosts[0]
	link, err := l.Hosts[1].Link(h.TAP)
	must(t, err)
	lines, objects := watcher(t, h, "fdb", "show", "-w"), watcher(t, h, "route", "-w", "-j")
	stats := watcher(t, h, "stats", "-w", "--interval", "100ms")
	must(t, lines.WaitOutput(ctx, link.MAC.String()+" dev uvtep.1 dst 192.0.2.2 self permanent\n"))
	must(t, objects.WaitOutput(ctx, `{"dst":"10.10.2.0/24","gateway":"10.10.2.0","dev":"uvtep.1","protocol":"86","flags":["onlink"]}`+"\n"))
	must(t, stats.WaitOutput(ctx, "\n\n")) // a second block
	key := putLease(ctx, t, l, "10.10.7.0/24", l.Hosts[1].Addr.Next(), [6]byte{10, 0, 0, 0, 0, 7})
	must(t, lines.WaitOutput(ctx, "\n0a:00:00:00:00:07 dev uvtep.1 dst 192.0.2.3 self permanent\n"))
	must(t, objects.WaitOutput(ctx, "\n"+`{"dst":"10.10.7.0/24"`)) // what comes and goes between two looks is not told
	must(t, l.Delete(ctx, key))
	must(t, lines.WaitOutput(ctx, "\nDeleted 0a:00:00:00:00:07 dev uvtep.1 dst 192.0.2.3 self permanent\n"))
	must(t, objects.WaitOutput(ctx, `{"deleted":true,"dst":"10.10.7.0/24"`))
	for _, p := range []*lab.Process{lines, objects, stats} {
		must(t, p.Signal(syscall.SIGINT))
		if err := p.Wait(ctx); err != nil {
			t.Errorf("told to stop: %v\n%s", err, p.Output())
		}
	}
	if n := strings.Count(lines.Output(), "\n"); n != 3 {
		t.Errorf("got %d lines, want one at first and one a change:\n%s", n, lines.Output())
	}
	etcdIsMissed(ctx, t, h, l.Hosts[1])
}

// etcdIsMissed stops the agent that etcd is in, and sees another one's status
// say so.
func etcdIsMissed(ctx context.Context, t *testing.T, with, without *lab.Host) {
	t.Helper()
	var before struct{ Warnings []string }
	must(t, json.Unmarshal([]byte(uvtep(ctx, t, without, "status", "-j")), &before))
	if text := strings.Join(before.Warnings, "\n"); strings.Contains(text, "etcd") {
		t.Errorf("while all is well: got %q", text)
	}
	must(t, with.Agent.Signal(syscall.SIGTERM), with.Agent.Wait(ctx))
	away := regexp.MustCompile(`(?s)  etcd +away since \S+, heard up to revision \d+; http.*` +
		`revision \d+, stale since .*WARNING: etcd has not answered since \S+ \(.* ago\): what is known stays in force`)
	eventually(ctx, t, "the status says that etcd is away", func() (bool, string) {
		out := uvtep(ctx, t, without, "status")
		return away.MatchString(out), out
	})
}

func TestAgentThatHangsIsToldOf(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "a.sock")
	s, err := net.Listen("unix", socket)
	must(t, err)
	defer func() { _ = s.Close() }()
	go func() {
		c, err := s.Accept()
		if err != nil {
			return
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		_, _ = c.Read(make([]byte, 1024))
		_, _ = c.Write([]byte("220 mail.example.org ESMTP\r\n"))
		_ = c.Close()
	}()
	out := new(bytes.Buffer)
	c := exec.Command(program, "status", "--admin-socket", socket)
	c.Stderr = out
	if err := c.Run(); err == nil || !strings.Contains(out.String(), "is it an agent's socket?") {
		t.Errorf("got %v and %q, want a doubt about the socket", err, out)
	}
}
