package docker

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"strings"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Every instance has a bridge network for itself, so it reaches no other one.
// Docker would give each a large part of its few default pools, and fail at the
// thirty-first; these are cut small from a range of their own.

// subnetBits is the size of an instance's network: eight addresses.
const subnetBits = 29

// subnetTries is how many places are tried before the range counts as full.
const subnetTries = 100

// reach is how the server gets to its instances.
type reach int

const (
	reachUnknown reach = iota
	// reachDirect: at the container's own address, on a bridge of this machine.
	reachDirect
	// reachPublished: through a port that the engine publishes on 127.0.0.1, as with
	// rootless engines and those in a virtual machine.
	reachPublished
)

// makeNetwork makes an instance's network and reports whether the server reaches
// the network's addresses.
func (d *Driver) makeNetwork(ctx context.Context, i *instance, spec driver.Spec, labels map[string]string) (direct bool, err error) {
	gateway, err := d.createNetwork(ctx, i, spec.Isolated, labels)
	if err != nil {
		return false, err
	}
	direct = d.decideReach(gateway) == reachDirect
	if direct && (spec.Isolated || !d.config.ReachHost) {
		d.fence(ctx)
	}
	if spec.Isolated && !direct {
		return false, fault.New(fault.Unsupported,
			"EnableNetworkIsolation needs a Docker engine whose networks this machine is part of, and the one at %s is rootless, remote or in a virtual machine", d.host)
	}
	return direct, nil
}

func (d *Driver) createNetwork(ctx context.Context, i *instance, isolated bool, labels map[string]string) (gateway netip.Addr, err error) {
	ctx, cancel := call(ctx)
	defer cancel()
	taken := localPrefixes()
	at := rand.Uint32()
	for range subnetTries {
		subnet := nthSubnet(d.config.Subnets, at)
		at++
		if overlaps(taken, subnet) {
			continue
		}
		gateway := subnet.Addr().Next()
		made, err := d.engine.NetworkCreate(ctx, d.name(i.id), client.NetworkCreateOptions{
			Driver:   "bridge",
			Internal: isolated,
			IPAM:     &network.IPAM{Config: []network.IPAMConfig{{Subnet: subnet, Gateway: gateway}}},
			Options:  map[string]string{"com.docker.network.bridge.name": d.bridge(i.id, isolated)},
			Labels:   labels,
		})
		switch {
		case err == nil:
			i.network = made.ID
			return gateway, nil
		case strings.Contains(err.Error(), "overlap"):
			continue
		case strings.Contains(err.Error(), "already exists"), strings.Contains(err.Error(), "same bridge name"):
			return netip.Addr{}, errTaken
		}
		return netip.Addr{}, d.failure(err, "the network of instance %s cannot be made", i.id)
	}
	return netip.Addr{}, fault.New(fault.Internal, "the Docker network of instance %s finds no free addresses in %s; give the Docker runtime another range, or remove networks (docker network prune)", i.id, d.config.Subnets)
}

// bridge names the interface of an instance's network on the engine's machine.
// The names begin alike, so that a rule of a firewall can mean all of them.
func (d *Driver) bridge(id string, isolated bool) string {
	sum := sha256.Sum256([]byte(d.owner + id))
	prefix := bridgePrefix
	switch {
	case isolated:
		prefix = isolatedPrefix
	case d.config.ReachHost:
		prefix = openPrefix
	}
	return prefix + hex.EncodeToString(sum[:5])
}

// The fence means all bridges with the first two prefixes, whichever server made them.
const (
	bridgePrefix   = "sgb-"
	isolatedPrefix = "sgi-"
	openPrefix     = "sgo-"
)

// nthSubnet cuts a range into networks and gives one of them; n counts around.
func nthSubnet(pool netip.Prefix, n uint32) netip.Prefix {
	count := uint64(1) << (subnetBits - pool.Bits())
	base := pool.Masked().Addr().As4()
	first := binary.BigEndian.Uint32(base[:])
	var addr [4]byte
	binary.BigEndian.PutUint32(addr[:], first+uint32(uint64(n)%count)<<(32-subnetBits))
	return netip.PrefixFrom(netip.AddrFrom4(addr), subnetBits)
}

func overlaps(taken []netip.Prefix, p netip.Prefix) bool {
	for _, t := range taken {
		if t.Overlaps(p) {
			return true
		}
	}
	return false
}

// localPrefixes are the networks that this machine is part of.
func localPrefixes() []netip.Prefix {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var all []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			all = append(all, p)
		}
	}
	return all
}

// decideReach finds out once how instances are reached. The evidence is the
// gateway of a network that was just made: when this machine has that address,
// the network's bridge is here.
func (d *Driver) decideReach(gateway netip.Addr) reach {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reach != reachUnknown {
		return d.reach
	}
	d.reach = reachPublished
	if runtime.GOOS == "linux" {
		for _, p := range localPrefixes() {
			if p.Addr() == gateway {
				d.reach = reachDirect
			}
		}
	}
	if d.reach == reachDirect {
		d.log.Info("containers are reached at their own addresses, because their networks are on this machine", "engine", d.host, "subnets", d.config.Subnets)
	} else {
		d.log.Info("containers are reached through ports published on 127.0.0.1, because their networks are not on this machine", "engine", d.host)
	}
	return d.reach
}
