package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
)

const (
	// populationConfig has room for 65,000 hosts; agents take subnets at its end.
	populationConfig = `{"Network":"10.0.0.0/8","SubnetLen":24,"SubnetMin":"10.255.0.0","SubnetMax":"10.255.250.0","Backend":{"Type":"vxlan","VNI":1,"Port":4789}}`
	// batch is how many keys go into one transaction: etcd takes 128.
	batch = 100
	// settlers and clerks write at the same time: keys in bulk, one change each.
	settlers, clerks = 4, 8
)

// population is what etcd says of hosts that nobody runs: each has a subnet
// lease, a host record, and its share of the endpoints. All keys hang on one
// etcd lease.
type population struct {
	hosts, endpoints int

	under string // the prefix of all keys
	etcd  *clientv3.Client
	lease clientv3.LeaseID
	homes []int  // which host an endpoint is behind now
	moves []int  // how often it has moved
	gone  []bool // which host has lost its lease
}

// settle writes a population into etcd.
func settle(ctx context.Context, etcd *clientv3.Client, under string, hosts, endpoints int) (*population, error) {
	p := &population{
		hosts: hosts, endpoints: endpoints, under: under, etcd: etcd,
		homes: make([]int, endpoints), moves: make([]int, endpoints), gone: make([]bool, hosts),
	}
	granted, err := etcd.Grant(ctx, int64((24 * time.Hour).Seconds()))
	if err != nil {
		return nil, err
	}
	p.lease = granted.ID
	for i := range p.homes {
		p.homes[i] = i % hosts
	}
	keys := 2*hosts + endpoints
	return p, inParallel(settlers, func(worker int) error {
		for from := worker * batch; from < keys; from += settlers * batch {
			var ops []clientv3.Op
			for i := from; i < min(from+batch, keys); i++ {
				ops = append(ops, p.key(i))
			}
			if _, err := etcd.Txn(ctx).Then(ops...).Commit(); err != nil {
				return err
			}
		}
		return nil
	})
}

// inParallel calls fn n times at once and returns one of the errors.
func inParallel(n int, fn func(worker int) error) error {
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- fn(i) }()
	}
	var first error
	for range n {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}

// key is the i-th of all keys: hosts first, so that no endpoint waits for its own.
func (p *population) key(i int) clientv3.Op {
	switch {
	case i < p.hosts:
		return p.putHost(i)
	case i < 2*p.hosts:
		return p.putLease(i-p.hosts, 0)
	}
	return p.putEndpoint(i-2*p.hosts, 0)
}

func (p *population) put(key, value string) clientv3.Op {
	return clientv3.OpPut(p.under+key, value, clientv3.WithLease(p.lease))
}

func (p *population) putHost(i int) clientv3.Op {
	return p.put(hostDir(i)+"/host", fmt.Sprintf(`{"PublicIP":%q,"PublicIPv6":null,"Port":4789,"VNIs":[1]}`, hostIP(i)))
}

// putLease leases host i its subnet; it may have moved to another address.
func (p *population) putLease(i, moved int) clientv3.Op {
	return p.put(subnetKey(i), fmt.Sprintf(
		`{"PublicIP":%q,"PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":%q,"NodeID":%q}}`,
		hostIP(i+moved*p.hosts), hostMAC(i), nodeID(i)))
}

// putEndpoint has IP addresses of endpoint i change and come back.
func (p *population) putEndpoint(i, change int) clientv3.Op {
	return p.put(p.endpointKey(i), fmt.Sprintf(`{"IPs":[%q],"Seq":%d}`, endpointIP(i+change%2*p.endpoints), p.moves[i]))
}

func (p *population) endpointKey(i int) string {
	return hostDir(p.homes[i]) + "/endpoints/1/" + endpointMAC(i).String()
}

func nodeID(i int) string    { return fmt.Sprintf("%032x", 1000+i) }
func hostDir(i int) string   { return "/uvtep/hosts/" + nodeID(i) }
func subnetKey(i int) string { return fmt.Sprintf("/subnets/10.%d.%d.0-24", 1+i>>8, i&255) }

func hostIP(i int) netip.Addr      { return plus(198, 18, i+1) }
func endpointIP(i int) netip.Addr  { return plus(100, 64, i) }
func hostMAC(i int) ether.Addr     { return numbered(2, i) }
func endpointMAC(i int) ether.Addr { return numbered(6, i) }

// plus is the n-th address of a network.
func plus(a, b byte, n int) netip.Addr {
	var ip [4]byte
	binary.BigEndian.PutUint32(ip[:], uint32(a)<<24|uint32(b)<<16+uint32(n))
	return netip.AddrFrom4(ip)
}

func numbered(kind byte, n int) (a ether.Addr) {
	a[0] = kind
	binary.BigEndian.PutUint32(a[2:], uint32(n))
	return a
}

// change makes the n-th change: of ten, four endpoints get another IP address,
// four move to another host, one host gets another address, and one loses its
// lease or gets it back.
func (p *population) change(ctx context.Context, n int) error {
	turn, host := n/10, n/10%p.hosts
	switch kind := n % 10; {
	case kind < 4:
		return p.commit(ctx, p.putEndpoint((turn*4+kind)%p.endpoints, 1+turn*4/p.endpoints))
	case kind < 8:
		return p.commit(ctx, p.move((turn*4+kind+p.endpoints/2)%p.endpoints)...)
	case kind == 8:
		return p.commit(ctx, p.putLease(host, 1+turn/p.hosts%2))
	}
	return p.commit(ctx, p.toggle((host/2+p.hosts/2)%p.hosts))
}

// move brings an endpoint to the next host.
func (p *population) move(i int) []clientv3.Op {
	left := p.under + p.endpointKey(i)
	p.homes[i] = (p.homes[i] + 1) % p.hosts
	p.moves[i]++
	return []clientv3.Op{p.putEndpoint(i, 0), clientv3.OpDelete(left)}
}

// toggle takes a host's lease away, or gives it back.
func (p *population) toggle(i int) clientv3.Op {
	if p.gone[i] = !p.gone[i]; p.gone[i] {
		return clientv3.OpDelete(p.under + subnetKey(i))
	}
	return p.putLease(i, 0)
}

func (p *population) commit(ctx context.Context, ops ...clientv3.Op) error {
	_, err := p.etcd.Txn(ctx).Then(ops...).Commit()
	return err
}

// churn makes changes, so many a second, until the function that it returns is
// called; that tells how many etcd took.
func (p *population) churn(ctx context.Context, rate int) (end func() (int, error)) {
	ctx, stop := context.WithCancel(ctx)
	due := make(chan int)
	var wg sync.WaitGroup
	wg.Go(func() { defer close(due); pace(ctx, rate, due) })
	var made [clerks]int
	var errs [clerks]error
	for c := range clerks {
		wg.Go(func() {
			for n := range due {
				if err := p.change(context.WithoutCancel(ctx), n); err != nil {
					errs[c] = err
					continue
				}
				made[c]++
			}
		})
	}
	return func() (total int, err error) {
		stop()
		wg.Wait()
		for c := range clerks {
			total += made[c]
			if errs[c] != nil {
				err = errs[c]
			}
		}
		return total, err
	}
}

// pace counts up, so many a second, until ctx ends.
func pace(ctx context.Context, rate int, due chan<- int) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for ; n < int(time.Since(began).Seconds()*float64(rate)); n++ {
			select {
			case <-ctx.Done():
				return
			case due <- n:
			}
		}
	}
}

// etcdClient is a client that is on the underlay itself.
func etcdClient(t testing.TB, e *lab.Etcd) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{
		Endpoints: []string{e.URL}, Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return e.Dial(ctx, "tcp", addr)
		})},
	})
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// startEtcd is one member of etcd and a client of it.
func startEtcd(ctx context.Context, t testing.TB, l *lab.Lab) (*lab.Etcd, *clientv3.Client) {
	t.Helper()
	bin, err := lab.BuildEtcd(ctx)
	must(t, err)
	members, err := l.StartEtcd(ctx, bin, 1)
	must(t, err)
	t.Cleanup(members[0].Kill)
	return members[0], etcdClient(t, members[0])
}

// The loader of the benchmark, with so few hosts that a test has time for them.
func TestPopulationReachesAnAgentWhole(t *testing.T) {
	const hosts, endpoints = 300, 1000
	t.Parallel()
	l, ctx := newLab(t, lab.Config{Hosts: 1})
	_, etcd := startEtcd(ctx, t, l)
	_, err := etcd.Put(ctx, prefix+"/config", populationConfig)
	must(t, err)
	_, err = settle(ctx, etcd, prefix, hosts, endpoints)
	must(t, err)
	must(t, l.Hosts[0].StartAgent(ctx))
	want := [...]int{hosts + endpoints, hosts + endpoints, hosts, hosts}
	eventually(ctx, t, "the agent has all rows", func() (bool, string) {
		r, err := dump(ctx, t, l.Hosts[0])
		got := [...]int{len(r.FDB), len(r.Neigh), len(r.Route), len(r.Kernel)}
		return err == nil && got == want, fmt.Sprintf("%v, want %v, %v", got, want, err)
	})
}
