package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/uvtep/uvtep/bench/lab"
)

func TestPredecessorsCommandLineIsRun(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"-etcdEndpoint http://e:2379", "run --etcd-endpoints http://e:2379"},
		{"-etcdEndpoint=http://e:2379 --tap x", "run --etcd-endpoints http://e:2379 --tap x"},
		{"--etcdEndpoint http://e:2379", "run --etcd-endpoints http://e:2379"},
		{"run --tap x", "run --tap x"},
		{"etcdEndpoint http://e:2379", "etcdEndpoint http://e:2379"},
	} {
		if got := strings.Join(predecessor(strings.Fields(c.in)), " "); got != c.want {
			t.Errorf("%s: got %s, want %s", c.in, got, c.want)
		}
	}
	if got := predecessor(nil); len(got) != 0 {
		t.Errorf("no arguments: got %v", got)
	}
}

func TestEnvironmentTwins(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		env  map[string]string
		want string // of --subnet-file
		says []string
	}{
		{"nothing given", nil, nil, "/run/flannel/subnet.env", nil},
		{"its own twin", nil, map[string]string{"UVTEP_SUBNET_FILE": "/u"}, "/u", nil},
		{"flanneld's twin", nil, map[string]string{"FLANNELD_SUBNET_FILE": "/f"}, "/f", nil},
		{"its own before flanneld's", nil, map[string]string{"FLANNELD_SUBNET_FILE": "/f", "UVTEP_SUBNET_FILE": "/u"}, "/u", nil},
		{"the command line before both", []string{"--subnet-file", "/c"}, map[string]string{"UVTEP_SUBNET_FILE": "/u"}, "/c", nil},
		{"an empty one is unset", nil, map[string]string{"UVTEP_SUBNET_FILE": "", "UVTEP_QUEUES": "", "FLANNELD_SUBNET_FILE": "/f"}, "/f", nil},
		{"flanneld has no such flag", nil, map[string]string{"FLANNELD_QUEUES": "zz"}, "/run/flannel/subnet.env", nil},
		{"all bad ones are named", nil, map[string]string{"UVTEP_QUEUES": "zz", "FLANNELD_IP_MASQ": "perhaps"}, "/run/flannel/subnet.env", []string{"UVTEP_QUEUES", "FLANNELD_IP_MASQ"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, f := new(runFlags), pflag.NewFlagSet("run", pflag.ContinueOnError)
			r.register(f)
			if err := f.Parse(c.args); err != nil {
				t.Fatal(err)
			}
			err := fromEnvironment(f, func(name string) (string, bool) { v, ok := c.env[name]; return v, ok })
			if (err == nil) != (c.says == nil) {
				t.Errorf("got error %v, want one: %v", err, c.says != nil)
			}
			for _, w := range c.says {
				if err != nil && !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not name %s", err, w)
				}
			}
			if r.subnetFile != c.want {
				t.Errorf("got %s, want %s", r.subnetFile, c.want)
			}
		})
	}
}

func TestAllFaultsOfTheCommandLineAreReported(t *testing.T) {
	r, f := new(runFlags), pflag.NewFlagSet("run", pflag.ContinueOnError)
	r.register(f)
	if err := f.Parse([]string{
		"--subnet", "10.10.3.9/24", "--mac", "ff:ff:ff:ff:ff:ff", "--public-ip", "fd00::1", "--queues", "0", "--source-ports", "9999",
		"--source-port-range", "9-1", "--offload", "maybe", "--udp-csum", "maybe", "--mtu", "5", "--ttl", "0", "--flood-rate", "-1", "--tos", "0x21", "--vni", "99999999", "--port", "0",
		"--log-level", "loud", "--tap", "a/b", "--lease-ttl", "1ms", "--network", "10.10.0.0", "--http-listen", "everywhere",
		"--embedded-etcd", "--embedded-etcd-listen", "https://192.0.2.1:2379",
	}); err != nil {
		t.Fatal(err)
	}
	err := r.validate()
	if err == nil {
		t.Fatal("got no error")
	}
	for _, flag := range []string{
		"--subnet", "--mac", "--public-ip", "--queues", "--source-ports", "--source-port-range", "--offload", "--udp-csum",
		"--mtu", "--ttl", "--flood-rate", "--tos", "--vni", "--port", "--log-level", "--tap", "--lease-ttl", "--network", "--embedded-etcd-listen", "--http-listen",
	} {
		if !strings.Contains(err.Error(), flag+" ") {
			t.Errorf("%s is not reported in:\n%v", flag, err)
		}
	}
}

func TestDefaultsOfTheCommandLineAreValid(t *testing.T) {
	r, f := new(runFlags), pflag.NewFlagSet("run", pflag.ContinueOnError)
	r.register(f)
	if err := r.validate(); err != nil {
		t.Error(err)
	}
}

func TestLabFigures(t *testing.T) {
	good := lab.RunConfig{Config: lab.Config{Hosts: 3, UnderlayMTU: 1500}, Containers: 2, Probe: lab.Probe{Bytes: 1}}
	if err := checkLab(good); err != nil {
		t.Error(err)
	}
	bad := lab.RunConfig{Config: lab.Config{Hosts: 1, UnderlayMTU: 3}, Containers: -1, Probe: lab.Probe{Bytes: -5}}
	err := checkLab(bad)
	for _, w := range []string{"--hosts 1", "--underlay-mtu 3", "--containers -1", "--bytes -5"} {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("got %v, want it to say %q", err, w)
		}
	}
}

func TestBlocks(t *testing.T) {
	got, err := parseBlocks([]string{"1-2", "3-1", "all"}, 3)
	if want := [][2]int{{1, 2}, {3, 1}, {0, 0}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for _, bad := range []string{"", "1", "1-1", "0-2", "1-4", "a-b", "1-2-3"} {
		if got, err := parseBlocks([]string{bad}, 3); err == nil {
			t.Errorf("%q: got %v, want an error", bad, got)
		}
	}
}

func TestForceIsNotTakenFromTheEnvironment(t *testing.T) {
	f := pflag.NewFlagSet("release", pflag.ContinueOnError)
	force := f.Bool("force", false, "")
	if err := fromEnvironment(f, func(string) (string, bool) { return "true", true }); err != nil || *force {
		t.Errorf("force is %v, %v; want false, nil", *force, err)
	}
}

func TestPathsOfSocketsFitIntoTheKernels(t *testing.T) {
	tests := []struct {
		name, path string
		says       string // "": it is taken
	}{
		{"short", "/s", ""},
		{"none", "", "want the path of a unix socket"},
		{"as long as can be", strings.Repeat("x", 107), ""},
		{"longer", strings.Repeat("x", 108), "a path of 108 bytes: the kernel takes 107"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var socket string
			f := pflag.NewFlagSet("status", pflag.ContinueOnError)
			adminFlag(f, &socket)
			if socket != "/run/uvtep/uvtep.sock" {
				t.Errorf("without the flag it is %q", socket)
			}
			err := f.Parse([]string{"--admin-socket", tt.path})
			switch {
			case tt.says == "" && (err != nil || socket != tt.path):
				t.Errorf("got %q, %v", socket, err)
			case tt.says != "" && (err == nil || !strings.HasSuffix(err.Error(), tt.says)):
				t.Errorf("got %v, want it to say %q", err, tt.says)
			}
		})
	}
}
