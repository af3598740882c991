package hostnet

import (
	"path/filepath"
	"testing"
)

func TestDockerOpts(t *testing.T) {
	uvtepMasks := lease("10.99.3.0/24", 1450)
	uvtepMasks.IPMasq = true
	open := lease("10.10.238.0/24", 1410)
	open.IPMasqUnset = true
	for _, c := range []struct {
		name string
		env  SubnetEnv
		want string
	}{
		{"uvtep does not masquerade, so docker does", lease("10.99.3.0/24", 1450), "--bip=10.99.3.1/24 --ip-masq=true --mtu=1450"},
		{"uvtep masquerades, so docker must not", uvtepMasks, "--bip=10.99.3.1/24 --ip-masq=false --mtu=1450"},
		{"a file without a word on it: no flag (the predecessor's line)", open, "--bip=10.10.238.1/24 --mtu=1410"},
		{"the predecessor's lease in our own file", lease("10.10.238.0/24", 1410), "--bip=10.10.238.1/24 --ip-masq=true --mtu=1410"},
		{"the IPv6 half of a lease is not docker's --bip", bothFamilies, "--bip=10.42.0.1/24 --ip-masq=false --mtu=1450"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "subnet.env")
			if err := c.env.Write(path); err != nil {
				t.Fatal(err)
			}
			env, err := ReadSubnetEnv(path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := env.DockerOpts()
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestDockerOptsNeedAnIPv4Subnet(t *testing.T) {
	env := SubnetEnv{IPv6Subnet: bothFamilies.IPv6Subnet, MTU: 1450}
	if got, err := env.DockerOpts(); err == nil {
		t.Errorf("got %q and no error", got)
	}
}
