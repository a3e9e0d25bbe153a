package capacity

import (
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/instancetype"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const gib = 1 << 30

// eight is a host that most tests have.
var eight = Resources{CPUs: 8, MemoryBytes: 32 * gib, GPUs: 2, Instances: 6}

func newPool(t testing.TB, policy Policy, host Resources) *Pool {
	t.Helper()
	p, err := New(policy, host)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// must acquires what is free.
func must(t testing.TB, p *Pool, c Claim) *Grant {
	t.Helper()
	r, err := p.request(c)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.enqueue(r)
	p.mu.Unlock()
	select {
	case <-r.done:
		return r.grant
	default:
		t.Fatalf("%s %s", c.Who, p.Waiting(c.Who))
	}
	return nil
}

func TestNewRefusesWhatIsNoHost(t *testing.T) {
	t.Parallel()
	for name, host := range map[string]Resources{
		"nothing":              {},
		"no CPUs":              {MemoryBytes: 1 << 30, Instances: 1},
		"no number":            {CPUs: math.NaN(), MemoryBytes: 1 << 30, Instances: 1},
		"no memory":            {CPUs: 1, Instances: 1},
		"no instances":         {CPUs: 1, MemoryBytes: 1 << 30},
		"less than no GPUs":    {CPUs: 1, MemoryBytes: 1 << 30, Instances: 1, GPUs: -1},
		"a farm of GPUs":       {CPUs: 1, MemoryBytes: 1 << 30, Instances: 1, GPUs: 1 << 40},
		"instances of a byte":  {CPUs: 1, MemoryBytes: 1 << 10, Instances: 1 << 11},
		"negative everything":  {CPUs: -1, MemoryBytes: -1, Instances: -1},
		"a billionth of a CPU": {CPUs: 1e-9, MemoryBytes: 1 << 30, Instances: 2},
	} {
		if _, err := New(Fit, host); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New("best", eight); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "share, fit or refuse") {
		t.Errorf("unknown policy: %v", err)
	}
}

// What instances may use, and what is said and reserved, under each policy.
func TestPolicies(t *testing.T) {
	t.Parallel()
	typ := func(name string) Need {
		it, ok := instancetype.Lookup(name)
		if !ok {
			t.Fatalf("no type %s", name)
		}
		return NeedOf(it)
	}
	type uses struct {
		CPUs float64
		GiB  float64
		GPUs []int
	}
	one := func(n int, u uses) (all []uses) {
		for range n {
			all = append(all, u)
		}
		return all
	}
	noGPU := eight
	noGPU.GPUs = 0
	exact := typ("ml.p3.8xlarge")
	exact.ExactGPUs = true
	tests := []struct {
		name   string
		policy Policy
		host   Resources
		claim  Claim
		want   []uses
		taken  Resources
		note   string // or the error
	}{
		{"share: the type, where the host has it", Share, eight, Claim{"a", 2, typ("ml.m5.large"), false},
			one(2, uses{2, 8, nil}), Resources{Instances: 2}, ""},
		{"share: the host, where it is less", Share, eight, Claim{"a", 2, typ("ml.m5.4xlarge"), false},
			one(2, uses{8, 32, nil}), Resources{Instances: 2},
			"an instance may use 8 CPUs and 32 GiB of memory, where its type has 16 CPUs and 64 GiB of memory: this host has 8 CPUs and 32 GiB of memory"},
		{"share: GPUs are dealt out and shared", Share, eight, Claim{"a", 3, Need{CPUs: 1, GPUs: 1}, false},
			[]uses{{1, 0, []int{0}}, {1, 0, []int{1}}, {1, 0, []int{0}}}, Resources{Instances: 3, GPUs: 2}, ""},
		{"share: more instances than may run", Share, eight, Claim{"a", 9, Need{CPUs: 1}, false},
			one(6, uses{1, 0, nil}), Resources{Instances: 6}, "6 instances may run, where 9 were asked for: that is max-instances"},
		{"share: no GPU where there is none", Share, noGPU, Claim{"a", 1, typ("ml.g4dn.xlarge"), false},
			one(1, uses{4, 16, nil}), Resources{Instances: 1}, "an instance may use no GPU, where its type has 1 GPU: this host has no GPU"},
		{"fit: reserved", Fit, eight, Claim{"a", 2, typ("ml.m5.large"), false},
			one(2, uses{2, 8, nil}), Resources{CPUs: 4, MemoryBytes: 16 * gib, Instances: 2}, ""},
		{"fit: shrunk to the host", Fit, eight, Claim{"a", 1, typ("ml.p3.8xlarge"), false},
			one(1, uses{8, 32, []int{0, 1}}), Resources{CPUs: 8, MemoryBytes: 32 * gib, GPUs: 2, Instances: 1},
			"an instance may use 8 CPUs, 32 GiB of memory and 2 GPUs, where its type has 32 CPUs, 244 GiB of memory and 4 GPUs: this host has 8 CPUs, 32 GiB of memory and 2 GPUs"},
		{"fit: together no larger than the host", Fit, eight, Claim{"a", 3, typ("ml.c5.xlarge"), false},
			one(3, uses{2.666666666, 8, nil}), Resources{CPUs: 7.999999998, MemoryBytes: 24 * gib, Instances: 3},
			"an instance may use 2.67 CPUs, where its type has 4 CPUs: for 3 instances this host has 8 CPUs"},
		{"fit: fewer GPUs than instances", Fit, eight, Claim{"a", 3, Need{CPUs: 1, GPUs: 1}, false},
			[]uses{{1, 0, []int{0}}, {1, 0, []int{1}}, {1, 0, []int{0}}}, Resources{CPUs: 3, GPUs: 2, Instances: 3}, "3 instances share 2 GPUs"},
		{"fit: no GPU where there is none", Fit, noGPU, Claim{"a", 2, Need{CPUs: 1, GPUs: 4}, false},
			one(2, uses{1, 0, nil}), Resources{CPUs: 2, Instances: 2}, "an instance may use no GPU, where its type has 4 GPUs: for 2 instances this host has no GPU"},
		{"fit: GPUs that may not be fewer", Fit, eight, Claim{"a", 1, exact, false}, nil, Resources{},
			"An instance of this type needs 4 GPUs, and this host has 2 GPUs. Choose a smaller instance type."},
		{"share: GPUs that may not be fewer", Share, noGPU, Claim{"a", 1, exact, false}, nil, Resources{},
			"An instance of this type needs 4 GPUs, and this host has no GPU. Choose a smaller instance type."},
		{"share: GPUs that may not be fewer, and are not", Share, eight, Claim{"a", 2, Need{GPUs: 2, ExactGPUs: true}, false},
			one(2, uses{0, 0, []int{0, 1}}), Resources{Instances: 2, GPUs: 2}, ""},
		{"refuse: reserved (BT-22)", Refuse, eight, Claim{"a", 2, typ("ml.g4dn.xlarge"), false},
			[]uses{{4, 16, []int{0}}, {4, 16, []int{1}}}, Resources{CPUs: 8, MemoryBytes: 32 * gib, GPUs: 2, Instances: 2}, ""},
		{"refuse: too large (BT-22)", Refuse, eight, Claim{"a", 1, typ("ml.m5.4xlarge"), false}, nil, Resources{},
			"An instance of this type needs 16 CPUs and 64 GiB of memory, and this host has 8 CPUs and 32 GiB of memory. Choose a smaller instance type."},
		{"refuse: too many (BT-22)", Refuse, eight, Claim{"a", 5, typ("ml.m5.large"), false}, nil, Resources{},
			"Each of 5 instances of this type needs 2 CPUs and 8 GiB of memory, and this host has 8 CPUs and 32 GiB of memory. Choose a smaller instance type or fewer instances."},
		{"refuse: no GPU (BT-22)", Refuse, noGPU, Claim{"a", 1, typ("ml.g4dn.xlarge"), false}, nil, Resources{},
			"An instance of this type needs 1 GPU, and this host has no GPU. Choose a smaller instance type."},
		{"refuse: more than max-instances (BT-22)", Refuse, eight, Claim{"a", 7, Need{}, false}, nil, Resources{},
			"It asks for 7 instances, and at most 6 may run at once here (max-instances)."},
		{"what is not known", Fit, eight, Claim{"a", 2, Need{CPUs: math.NaN(), MemoryBytes: -1, GPUs: -1}, false},
			one(2, uses{}), Resources{Instances: 2}, ""},
		{"what is no number of CPUs", Fit, eight, Claim{"a", 1, Need{CPUs: math.Inf(1), MemoryBytes: math.MaxInt64, GPUs: math.MaxInt}, false},
			one(1, uses{8, 32, []int{0, 1}}), Resources{CPUs: 8, MemoryBytes: 32 * gib, GPUs: 2, Instances: 1}, "an instance may use 8 CPUs"},
		{"no instances", Fit, eight, Claim{"a", 0, Need{CPUs: 1}, false}, nil, Resources{}, "a claims 0 instances, and needs at least one"},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) { // who waits for ever fails at once
			p := newPool(t, tt.policy, tt.host)
			if tt.want == nil {
				g, err := p.Acquire(t.Context(), tt.claim)
				if g != nil || err == nil || fault.TextOf(err) != tt.note {
					t.Errorf("%s:\ngot  %v\nwant %s", tt.name, err, tt.note)
				}
				return
			}
			g, err := p.Acquire(t.Context(), tt.claim)
			if err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			var got []uses
			for _, i := range g.Instances() {
				got = append(got, uses{i.CPUs, float64(i.MemoryBytes) / gib, i.GPUs})
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s: %s", tt.name, diff)
			}
			if g.Note != tt.note && !(strings.HasPrefix(g.Note, tt.note) && tt.note != "") {
				t.Errorf("%s: note:\ngot  %s\nwant %s", tt.name, g.Note, tt.note)
			}
			if diff := cmp.Diff(Usage{Host: tt.host, Taken: tt.taken}, p.Usage()); diff != "" {
				t.Errorf("%s: %s", tt.name, diff)
			}
			g.Release()
			g.Release()
			if diff := cmp.Diff(Usage{Host: tt.host}, p.Usage()); diff != "" {
				t.Errorf("%s: after the release: %s", tt.name, diff)
			}
		})
	}
}

// BT-22: what an operation asks before it accepts a job, and the quota that it
// then tells.
func TestCheckAndMost(t *testing.T) {
	t.Parallel()
	large := Need{CPUs: 2, MemoryBytes: 8 * gib}
	tests := []struct {
		policy Policy
		claim  Claim
		most   int
		ok     bool
	}{
		{Share, Claim{"a", 6, large, false}, 6, true},
		{Share, Claim{"a", 7, large, false}, 6, false},
		{Share, Claim{"a", 6, Need{CPUs: 64}, false}, 6, true},
		{Share, Claim{"a", 6, Need{GPUs: 2, ExactGPUs: true}, false}, 6, true},
		{Share, Claim{"a", 1, Need{GPUs: 3, ExactGPUs: true}, false}, 0, false},
		{Fit, Claim{"a", 6, large, false}, 6, true},
		{Fit, Claim{"a", 7, large, false}, 6, false},
		{Fit, Claim{"a", 2, Need{GPUs: 1, ExactGPUs: true}, false}, 2, true},
		{Fit, Claim{"a", 3, Need{GPUs: 1, ExactGPUs: true}, false}, 2, false},
		{Refuse, Claim{"a", 4, large, false}, 4, true},
		{Refuse, Claim{"a", 5, large, false}, 4, false},
		{Refuse, Claim{"a", 1, Need{CPUs: 9}, false}, 0, false},
		{Refuse, Claim{"a", 1, Need{GPUs: 3}, false}, 0, false},
	}
	for _, tt := range tests {
		p := newPool(t, tt.policy, eight)
		must(t, p, Claim{Who: "somebody", Instances: 1, Each: Need{CPUs: 8}}) // a full host changes nothing
		if got := p.Most(tt.claim.Each); got != tt.most {
			t.Errorf("%s %+v: at most %d, want %d", tt.policy, tt.claim, got, tt.most)
		}
		err := p.Check(tt.claim)
		if (err == nil) != tt.ok || !tt.ok && fault.KindOf(err) != fault.Limit {
			t.Errorf("%s %+v: %v", tt.policy, tt.claim, err)
		}
	}
}

// An endpoint grows and shrinks instance by instance.
func TestGrowAndShrink(t *testing.T) {
	t.Parallel()
	synctest.Test(t, growAndShrink)
}

func growAndShrink(t *testing.T) {
	p := newPool(t, Fit, eight)
	g := must(t, p, Claim{Who: "endpoint e", Instances: 1, Each: Need{CPUs: 2, MemoryBytes: 4 * gib, GPUs: 1}, Lasting: true})
	more, err := g.AcquireMore(t.Context(), 1)
	if err != nil || len(more) != 1 || !cmp.Equal(more[0].GPUs, []int{1}) || more[0].CPUs != 2 {
		t.Fatalf("got %+v, %v", more, err)
	}
	if _, err := g.AcquireMore(t.Context(), 1); fault.KindOf(err) != fault.Limit ||
		fault.TextOf(err) != "endpoint e has 2 GPUs of this host's 2 GPUs already, and 1 more of its instances need 1 GPU each. Choose a smaller instance type or fewer instances." {
		t.Errorf("a third GPU of two: %v", err)
	}
	if _, err := g.AcquireMore(t.Context(), math.MaxInt); fault.KindOf(err) != fault.Limit ||
		!strings.HasPrefix(fault.TextOf(err), "endpoint e has 2 instances and asks for ") {
		t.Errorf("very many: %v", err)
	}
	if _, err := g.AcquireMore(t.Context(), 0); fault.KindOf(err) != fault.Invalid {
		t.Errorf("none: %v", err)
	}
	first := g.Instances()[0]
	first.Release()
	first.Release()
	if got, want := p.Usage().Taken, (Resources{CPUs: 2, MemoryBytes: 4 * gib, GPUs: 1, Instances: 1}); got != want {
		t.Errorf("after one left: %+v", got)
	}
	again, err := g.AcquireMore(t.Context(), 1)
	if err != nil || !cmp.Equal(again[0].GPUs, []int{0}) {
		t.Errorf("the free GPU again: %+v, %v", again, err)
	}
	for _, i := range g.Instances() {
		i.Release()
	}
	if got := p.Usage().Taken; got != (Resources{}) {
		t.Errorf("without instances: %+v", got)
	}
	if _, err := g.AcquireMore(t.Context(), 2); err != nil { // it was not released
		t.Error(err)
	}
	g.Release()
	if _, err := g.AcquireMore(t.Context(), 1); !errors.Is(err, ErrReleased) {
		t.Errorf("after the release: %v", err)
	}
	if got := p.Usage(); got.Taken != (Resources{}) || len(p.grants) != 0 {
		t.Errorf("at the end: %+v", got)
	}
}
