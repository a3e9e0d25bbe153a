package docker

import (
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/driver/drivertest"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

func dial(t *testing.T, i *instance, address string) string {
	t.Helper()
	return post(t, i, "/dial", url.Values{"network": {"tcp"}, "address": {address}})
}

// TestNetworks has instances that cannot reach each other.
func TestNetworks(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	d := newDriver(t)
	one, other := start(t, d, spec(e.loadProgram(t), "one", nil)), start(t, d, spec(e.loadProgram(t), "other", nil))
	post(t, other, "/print", nil)
	if said := dial(t, one, one.Addr()); said != "connected" {
		t.Fatalf("an instance does not reach itself: %s", said)
	}
	if said := dial(t, one, other.Addr()); said == "connected" {
		t.Error("an instance reaches another")
	}
}

// TestIsolated proves CC-6: no way out, not even to another machine's metadata or
// through names, while the server reaches the instance.
func TestIsolated(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	s := spec(e.loadProgram(t), "isolated", map[string]string{"PROGRAM_RESOLVE": "example.com"})
	s.Isolated = true
	i := start(t, newDriver(t), s)
	if n := len(inspect(t, e, i).NetworkSettings.Networks); n != 1 {
		t.Fatalf("%d networks", n)
	}
	// Outside the machine, wherever that is, and where clouds tell their secrets.
	for _, address := range []string{"192.0.2.1:80", "169.254.169.254:80", "1.1.1.1:443"} {
		if said := dial(t, i, address); !strings.Contains(said, "unreachable") && !strings.Contains(said, "timeout") && !strings.Contains(said, "no route") {
			t.Errorf("%s: %s", address, said)
		}
	}
	if out := s.Output.(*printed); !strings.Contains(out.String(), "resolve: lookup example.com") {
		t.Errorf("a name outside: %s", out)
	}
	// The loopback is its own.
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if said := dial(t, i, l.Addr().String()); said == "connected" {
		t.Error("an instance reaches the machine's own loopback")
	}
}

// TestFence has instances that reach no service of this machine, by the address of
// their bridge or by any other, isolated or not, unless the driver was told otherwise.
func TestFence(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	if os.Getuid() != 0 {
		t.Skip("changing the packet filter needs root")
	}
	image := e.loadProgram(t)
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	reached := func(d *Driver, id string, isolated bool) (said []string) {
		s := spec(image, id, nil)
		s.Isolated = isolated
		i := start(t, d, s)
		post(t, i, "/print", nil) // the machine reaches it
		addresses := []netip.Addr{gatewayOf(t, e, i)}
		if !isolated { // which has no way to any other network
			addresses = append(addresses, machineAddress(t))
		}
		for _, a := range addresses {
			said = append(said, dial(t, i, net.JoinHostPort(a.String(), port)))
		}
		return said
	}
	open := newDriver(t)
	open.config.ReachHost = true
	for _, said := range reached(open, "open", false) {
		if said != "connected" {
			t.Errorf("with ReachHost: %s", said)
		}
	}
	said := reached(open, "openisolated", true)
	fenced := newDriver(t)
	said = append(said, reached(fenced, "fenced", false)...)
	said = append(said, reached(fenced, "fencedisolated", true)...)
	for _, said := range said {
		if said == "connected" {
			t.Error("an instance reaches a service of this machine")
		}
	}
}

// gatewayOf is this machine's address on an instance's bridge.
func gatewayOf(t *testing.T, e testEngine, i *instance) netip.Addr {
	t.Helper()
	address, err := netip.ParseAddrPort(i.Addr())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range localPrefixes() {
		if p.Contains(address.Addr()) {
			return p.Addr()
		}
	}
	t.Fatalf("no network of this machine has %s", i.Addr())
	return netip.Addr{}
}

// machineAddress is another address of this machine: that of the default bridge, which
// every engine's machine has.
func machineAddress(t *testing.T) netip.Addr {
	t.Helper()
	bridge, err := net.InterfaceByName("docker0")
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := bridge.Addrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			return p.Addr()
		}
	}
	t.Fatal("docker0 has no address")
	return netip.Addr{}
}

// TestNotHere has an engine whose networks are elsewhere: ports are published, and
// isolation is refused because they cannot be then.
func TestNotHere(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	d := newDriver(t)
	d.reach = reachPublished
	s := spec(e.loadProgram(t), "published", map[string]string{drivertest.EnvTerm: "ignore"})
	i := start(t, d, s)
	if host, _, _ := net.SplitHostPort(i.Addr()); host != "127.0.0.1" {
		t.Errorf("address %s", i.Addr())
	}
	post(t, i, "/print", nil)
	s.ID, s.Isolated = "isolated", true
	if _, err := d.Start(t.Context(), s); !fault.Is(err, fault.Unsupported) || !strings.Contains(fault.TextOf(err), "EnableNetworkIsolation") {
		t.Errorf("error %v", err)
	}
}

// TestFewSubnets shows that a full range is said, and that instances give theirs back.
func TestFewSubnets(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	d := newDriver(t, func(c *Config) { c.Subnets = netip.MustParsePrefix("198.51.100.0/28") })
	image := e.loadProgram(t)
	one := start(t, d, spec(image, "one", nil))
	start(t, d, spec(image, "two", nil))
	if _, err := d.Start(t.Context(), spec(image, "three", nil)); !strings.Contains(fault.TextOf(err), "198.51.100.0/28") {
		t.Errorf("error %v", err)
	}
	stop(t, one)
	start(t, d, spec(image, "three", nil))
}

func TestNthSubnet(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pool string
		n    uint32
		want string
	}{
		{"10.0.0.0/28", 0, "10.0.0.0/29"},
		{"10.0.0.0/28", 1, "10.0.0.8/29"},
		{"10.0.0.0/28", 2, "10.0.0.0/29"},
		{"10.0.0.9/28", 1, "10.0.0.8/29"},
		{"10.0.0.8/29", 7, "10.0.0.8/29"},
		{"198.18.0.0/15", 16383, "198.19.255.248/29"},
		{"198.18.0.0/15", 1<<32 - 1, "198.19.255.248/29"},
		{"0.0.0.0/0", 1<<29 - 1, "255.255.255.248/29"},
	} {
		if got := nthSubnet(netip.MustParsePrefix(tt.pool), tt.n).String(); got != tt.want {
			t.Errorf("%d of %s: %s, want %s", tt.n, tt.pool, got, tt.want)
		}
	}
}
