//go:build linux

package lab_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/uvtep/uvtep/bench/lab"
)

// A network of three hosts, tried from every container to every other.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	l, err := lab.New(ctx, lab.Config{Bin: "bin/uvtep"})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	if err := l.StartAgents(ctx); err != nil {
		log.Panic(err)
	}
	if err := l.AddContainers(ctx, 1); err != nil {
		log.Panic(err)
	}
	report := l.Check(ctx, lab.Probe{})
	_, _ = report.WriteTo(os.Stdout)
	fmt.Println(report.Err())
}

// A host whose overlay is the kernel's, in a network of uvtep hosts.
func ExampleHost_AddKernelPeer() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	l, err := lab.New(ctx, lab.Config{Hosts: 2, Bin: "bin/uvtep"})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	if err := l.Hosts[0].StartAgent(ctx); err != nil {
		log.Panic(err)
	}
	kernel, err := l.Hosts[1].AddKernelPeer(lab.KernelConfig{Subnet: lab.KernelSubnet(7)})
	if err != nil {
		log.Panic(err)
	}
	key, value := kernel.Lease()
	if err := l.Put(ctx, "/coreos.com/network/"+key, value); err != nil {
		log.Panic(err)
	}
	tap, err := l.Hosts[0].Link(l.Hosts[0].TAP)
	if err != nil {
		log.Panic(err)
	}
	remote := lab.Remote{Subnet: l.Hosts[0].Subnet, VTEP: l.Hosts[0].Addr, MAC: tap.MAC}
	if err := kernel.Add(remote); err != nil {
		log.Panic(err)
	}
	fmt.Println(l.Hosts[0].Reach(ctx, kernel.Subnet.Addr()))
}
