package endpoint

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

var start = time.Unix(1650241569, 0)

func fleetOf(config string, counts map[string]int) resource.Fleet {
	f := resource.Fleet{ConfigName: config}
	names := make([]string, 0, len(counts))
	for name := range counts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		f.Variants = append(f.Variants, resource.FleetVariant{Name: name, Weight: 1, Effective: 1, Count: counts[name]})
	}
	return f
}

// world is everything that Plan's decisions meet: a row, and instances that become
// ready, fail and stop when the test says so.
type world struct {
	t     interface{ Fatalf(string, ...any) }
	e     resource.Endpoint
	units map[string]Unit // what this process knows
	real  map[string]bool // what runs on the host
	fails map[Group]int
	retry map[Group]time.Time
	guard string
	fresh bool
	now   time.Time
	next  int
	gone  bool
	seen  []resource.EndpointStatus
}

func newWorld(t interface{ Fatalf(string, ...any) }, counts map[string]int, d *resource.DeploymentConfig) *world {
	w := &world{t: t, units: map[string]Unit{}, real: map[string]bool{}, fails: map[Group]int{}, retry: map[Group]time.Time{}, now: start}
	w.e = resource.NewEndpoint(resource.Meta{Key: resource.Key{Name: "e"}, Created: start, Modified: start}, fleetOf("c1", counts), d)
	w.seen = []resource.EndpointStatus{w.e.Status}
	return w
}

func (w *world) apply(ev resource.EndpointEvent) error {
	next, err := w.e.Apply(ev, w.now)
	if err != nil {
		return err
	}
	if next.Status != w.e.Status {
		if !slices.Contains(resource.EndpointMoves[w.e.Status], next.Status) {
			w.t.Fatalf("moved from %s to %s by %T", w.e.Status, next.Status, ev)
		}
		w.seen = append(w.seen, next.Status)
	}
	w.e = next
	return nil
}

// look plans once and carries the decision out.
func (w *world) look() Decision {
	d := Plan(w.e, Observation{Units: w.units, Fresh: w.fresh, RetryAt: w.retry, Failures: w.fails, Guard: w.guard}, w.now)
	w.fresh = false
	if len(d.Gone) > 0 {
		w.must(resource.InstancesGone{IDs: d.Gone})
		for _, id := range d.Gone {
			if w.real[id] {
				w.t.Fatalf("%s runs and has no owner", id)
			}
			delete(w.units, id)
		}
	}
	for _, g := range d.Order {
		w.next++
		id := fmt.Sprint("i", w.next)
		w.must(resource.InstancesOrdered{Instances: []resource.EndpointInstance{{ID: id, Generation: g.Generation, Variant: g.Variant, Epoch: w.e.Epoch}}})
		w.begin(id)
	}
	for _, id := range d.Start {
		w.begin(id)
	}
	for _, id := range d.Stop {
		w.units[id] = Unit{State: Stopping}
	}
	if d.Event != nil {
		w.must(d.Event)
	}
	w.gone = d.Remove
	return d
}

func (w *world) must(ev resource.EndpointEvent) {
	if err := w.apply(ev); err != nil {
		w.t.Fatalf("%v", err)
	}
}

func (w *world) begin(id string) {
	if _, known := w.units[id]; known {
		w.t.Fatalf("%s is started twice", id)
	}
	w.units[id], w.real[id] = Unit{State: Starting}, true
}

func (w *world) groupOf(id string) Group {
	for _, i := range w.e.Instances {
		if i.ID == id {
			return Group{i.Generation, i.Variant}
		}
	}
	return Group{}
}

// ids gives the units in a state, in order.
func (w *world) ids(states ...UnitState) []string {
	var ids []string
	for id, u := range w.units {
		if slices.Contains(states, u.State) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// advance lets the instances go on: starting ones become ready, stopping ones end.
func (w *world) advance() {
	for _, id := range w.ids(Starting) {
		w.units[id] = Unit{State: Ready, Leaving: w.units[id].Leaving}
		w.fails[w.groupOf(id)] = 0
	}
	for _, id := range w.ids(Stopping) {
		w.units[id] = Unit{State: Gone}
		delete(w.real, id)
	}
}

func (w *world) fail(id, why string) {
	w.units[id] = Unit{State: Failed, Reason: why}
	delete(w.real, id)
	g := w.groupOf(id)
	w.fails[g]++
	w.retry[g] = w.now.Add(time.Second)
}

// leave has the runtime want an instance gone.
func (w *world) leave(id string) {
	u := w.units[id]
	u.Leaving = true
	w.units[id] = u
}

// lose has the runtime take an instance away.
func (w *world) lose(id string) {
	w.fail(id, "its node is gone")
	u := w.units[id]
	u.Lost = true
	w.units[id] = u
}

// settle looks and advances until nothing changes; time passes as Plan asks.
func (w *world) settle() {
	for range 500 {
		d := w.look()
		before := len(w.ids(Starting)) + len(w.ids(Stopping))
		w.advance()
		quiet := before == 0 && len(d.Start)+len(d.Order)+len(d.Stop)+len(d.Gone) == 0 && d.Event == nil
		if w.gone || quiet && d.Again == 0 {
			return
		}
		if quiet {
			w.now = w.now.Add(d.Again)
		}
	}
	w.t.Fatalf("does not settle: %+v", w.e)
}

func (w *world) ready(generation int) int {
	n := 0
	for _, id := range w.ids(Ready) {
		if w.groupOf(id).Generation == generation {
			n++
		}
	}
	return n
}

// EP-1, EP-2: a creation ends in service when all instances are ready, or fails
// with the first that is not, and nothing of it runs then (EP-8).
func TestCreate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int{"a": 2, "b": 1}, nil)
	w.look()
	if len(w.ids(Starting)) != 3 || w.e.Status != resource.EndpointCreating {
		t.Fatalf("%s with %v", w.e.Status, w.units)
	}
	w.settle()
	if w.e.Status != resource.EndpointInService || w.ready(1) != 3 {
		t.Errorf("%s with %v", w.e.Status, w.units)
	}
	f := newWorld(t, map[string]int{"a": 2}, nil)
	f.look()
	f.fail("i1", "no ping")
	f.settle()
	if f.e.Status != resource.EndpointFailed || f.e.FailureReason != "no ping" || len(f.real) != 0 || len(f.e.Instances) != 0 {
		t.Errorf("%s %q with %v", f.e.Status, f.e.FailureReason, f.real)
	}
}

// EP-40, EP-42: what share of the traffic the new fleet has, and when.
func TestBlueGreen(t *testing.T) {
	t.Parallel()
	wait := 30
	cases := map[string]struct {
		policy resource.BlueGreen
		shares []float64
	}{
		"all at once": {resource.BlueGreen{Type: resource.AllAtOnce}, []float64{1}},
		"canary":      {resource.BlueGreen{Type: resource.Canary, Wait: 60, Canary: &resource.Capacity{Percent: true, Value: 10}}, []float64{0.1, 1}},
		"canary of 1": {resource.BlueGreen{Type: resource.Canary, Wait: 60, Canary: &resource.Capacity{Value: 1}, TerminationWait: &wait}, []float64{0.25, 1}},
		"linear":      {resource.BlueGreen{Type: resource.Linear, Wait: 60, Linear: &resource.Capacity{Percent: true, Value: 40}}, []float64{0.4, 0.8, 1}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, map[string]int{"a": 4}, nil)
			w.settle()
			w.must(resource.UpdateAsked{Fleet: fleetOf("c2", map[string]int{"a": 4}), Deployment: resource.DeploymentConfig{BlueGreen: &c.policy}})
			began := w.now
			var shares []float64
			for range 500 {
				d := w.look()
				if m, ok := d.Event.(resource.TrafficMoved); ok {
					shares = append(shares, m.Share)
					if w.ready(2) < 4 || w.ready(1) < 4 {
						t.Errorf("traffic moves with %d old and %d new instances", w.ready(1), w.ready(2))
					}
				}
				w.advance()
				if w.e.Status == resource.EndpointInService && len(w.real) == 4 {
					break
				}
				w.now = w.now.Add(time.Second)
			}
			if !slices.Equal(shares, c.shares) || w.ready(2) != 4 || w.e.Current.ConfigName != "c2" {
				t.Errorf("shares %v, %d new instances, %+v", shares, w.ready(2), w.e)
			}
			least := time.Duration(len(c.shares)*c.policy.Wait) * time.Second
			if c.policy.TerminationWait != nil {
				least += 30 * time.Second
			}
			if took := w.now.Sub(began); took < least {
				t.Errorf("it took %s, and must bake for %s", took, least)
			}
		})
	}
}

// EP-43: a rolling update never has fewer instances than it should, nor many more.
func TestRolling(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int{"a": 10}, nil)
	w.settle()
	w.must(resource.UpdateAsked{Fleet: fleetOf("c2", map[string]int{"a": 10}), Deployment: resource.DeploymentConfig{
		Rolling: &resource.Rolling{Batch: resource.Capacity{Percent: true, Value: 30}, Wait: 5}}})
	for range 500 {
		w.look()
		if ready := len(w.ids(Ready)); ready < 10 {
			t.Fatalf("%d instances are ready", ready)
		}
		if len(w.real) > 14 {
			t.Fatalf("%d instances run", len(w.real))
		}
		w.advance()
		if w.e.Status == resource.EndpointInService && len(w.real) == 10 {
			break
		}
		w.now = w.now.Add(time.Second)
	}
	if w.ready(2) != 10 || w.e.Status != resource.EndpointInService {
		t.Errorf("%d new instances, %s", w.ready(2), w.e.Status)
	}
}

// EP-11: an update whose instances fail goes back, through RollingBack, to the old
// configuration, whose instances were never touched.
func TestRollback(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]resource.DeploymentConfig{
		"blue/green": {},
		"rolling":    {Rolling: &resource.Rolling{Batch: resource.Capacity{Percent: true, Value: 50}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, map[string]int{"a": 4}, nil)
			w.settle()
			w.must(resource.UpdateAsked{Fleet: fleetOf("c2", map[string]int{"a": 4}), Deployment: d})
			w.look()
			for _, id := range w.ids(Starting) {
				if w.groupOf(id).Generation == 2 {
					w.fail(id, "the new model does not answer")
					break
				}
			}
			w.settle()
			if w.e.Status != resource.EndpointInService || w.e.FailureReason != "the new model does not answer" || w.e.Current.ConfigName != "c1" || w.ready(1) != 4 || len(w.real) != 4 {
				t.Errorf("%s %q, %d of %d", w.e.Status, w.e.FailureReason, w.ready(1), len(w.real))
			}
			if !slices.Contains(w.seen, resource.EndpointRollingBack) {
				t.Errorf("statuses %v", w.seen)
			}
		})
	}
}

// EP-9: a rollback whose old instances do not come back leaves a mix that serves.
func TestRollbackBroke(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int{"a": 4}, nil)
	w.settle()
	w.must(resource.UpdateAsked{Fleet: fleetOf("c2", map[string]int{"a": 4}), Deployment: resource.DeploymentConfig{
		Rolling: &resource.Rolling{Batch: resource.Capacity{Percent: true, Value: 50}, Wait: 100}}})
	for w.e.Change.Share < 0.5 {
		w.look()
		w.advance()
	}
	w.look()
	w.advance()
	w.guard = "too many errors"
	for range 3 {
		w.look()
	}
	for _, id := range w.ids(Starting) {
		if w.groupOf(id).Generation == 1 {
			w.fail(id, "no room")
		}
	}
	w.settle()
	if w.e.Status != resource.EndpointUpdateRollbackFailed || len(w.ids(Ready)) < 4 {
		t.Errorf("%s %q with %v", w.e.Status, w.e.FailureReason, w.units)
	}
	w.guard = ""
	w.must(resource.UpdateAsked{Fleet: fleetOf("c3", map[string]int{"a": 2})})
	w.settle()
	if w.e.Status != resource.EndpointInService || w.e.Current.ConfigName != "c3" || len(w.real) != 2 {
		t.Errorf("%s with %v", w.e.Status, w.units)
	}
}

// EP-4: maintenance replaces every instance, and never fewer are ready than before.
func TestMaintenance(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int{"a": 3, "b": 1}, nil)
	w.settle()
	old := w.ids(Ready)
	w.must(resource.MaintenanceBegan{ReplaceAll: true})
	for range 100 {
		w.look()
		if n := len(w.ids(Ready)); n < 4 {
			t.Fatalf("%d instances are ready", n)
		}
		w.advance()
		if w.e.Status == resource.EndpointInService {
			break
		}
		if err := w.apply(resource.DeleteAsked{}); err == nil {
			t.Fatal("deleted while SystemUpdating")
		}
	}
	w.settle()
	for _, id := range w.ids(Ready) {
		if slices.Contains(old, id) {
			t.Errorf("%s was not replaced", id)
		}
	}
	if w.e.Status != resource.EndpointInService || len(w.real) != 4 {
		t.Errorf("%s with %v", w.e.Status, w.units)
	}
}

// EP-4, EP-22: instances that their runtime wants gone are replaced while the endpoint
// is SystemUpdating, and never fewer are ready than before. The others stay.
func TestDrain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int{"a": 3, "b": 1}, nil)
	w.settle()
	before := w.ids(Ready)
	w.leave("i1")
	w.leave("i4")
	w.look()
	if w.e.Status != resource.EndpointSystemUpdating {
		t.Fatalf("%s while instances leave", w.e.Status)
	}
	for range 100 {
		if n := len(w.ids(Ready)); n < 4 {
			t.Fatalf("%d instances are ready", n)
		}
		for _, ev := range []resource.EndpointEvent{resource.DeleteAsked{}, resource.UpdateAsked{}, resource.ScaleAsked{}} {
			if w.e.Status == resource.EndpointSystemUpdating && w.apply(ev) == nil {
				t.Fatalf("%T was taken while SystemUpdating", ev)
			}
		}
		w.advance()
		w.look()
		if w.e.Status == resource.EndpointInService {
			break
		}
	}
	w.settle()
	after := w.ids(Ready)
	for _, id := range before {
		if leaves := id == "i1" || id == "i4"; leaves == slices.Contains(after, id) {
			t.Errorf("of %v remain %v", before, after)
		}
	}
	if w.e.Status != resource.EndpointInService || len(w.real) != 4 {
		t.Errorf("%s with %v", w.e.Status, w.units)
	}
}

// EP-4: an instance that cannot be replaced stays, and the endpoint does not become
// SystemUpdating again and again.
func TestDrainWithoutRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int{"a": 1}, nil)
	w.settle()
	w.leave("i1")
	for range 3 * giveUpAfter {
		w.look()
		for _, id := range w.ids(Starting) {
			w.fail(id, "no room")
		}
		w.now = w.now.Add(time.Minute)
	}
	systemUpdating := 0
	for _, s := range w.seen {
		if s == resource.EndpointSystemUpdating {
			systemUpdating++
		}
	}
	if w.e.Status != resource.EndpointInService || systemUpdating != 1 || w.units["i1"].State != Ready {
		t.Errorf("%s after %v with %v", w.e.Status, w.seen, w.units)
	}
	w.settle()
	if w.e.Status != resource.EndpointInService || len(w.real) != 1 || w.real["i1"] {
		t.Errorf("%s with %v once there is room", w.e.Status, w.real)
	}
}

// EP-9: what leaves a mix that serves goes when the old fleet is whole, and nothing
// takes its place.
func TestDrainOfMix(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int{"a": 2}, nil)
	w.settle()
	pending := fleetOf("c2", map[string]int{"a": 2})
	pending.Generation = 2
	w.e.Status, w.e.Pending, w.e.Generation = resource.EndpointUpdateRollbackFailed, &pending, 2
	w.must(resource.InstancesOrdered{Instances: []resource.EndpointInstance{{ID: "new", Generation: 2, Variant: "a", Epoch: w.e.Epoch}}})
	w.begin("new")
	w.advance()
	w.leave("new")
	w.fail("i1", "it crashed")
	w.look()
	if w.units["new"].State != Ready {
		t.Fatal("it goes while the old fleet is not whole")
	}
	w.settle()
	if w.real["new"] || len(w.real) != 2 || w.e.Status != resource.EndpointUpdateRollbackFailed {
		t.Errorf("%s with %v", w.e.Status, w.real)
	}
}

// A runtime that takes an instance away during a change fails nothing: another takes
// its place.
func TestLostWhileUpdating(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int{"a": 2}, nil)
	w.look()
	w.lose("i1")
	w.settle()
	if w.e.Status != resource.EndpointInService || len(w.real) != 2 {
		t.Fatalf("%s with %v", w.e.Status, w.units)
	}
	w.must(resource.ScaleAsked{Variants: []resource.FleetVariant{{Name: "a", Weight: 1, Count: 3}}})
	w.look()
	w.lose("i2")
	w.settle()
	if slices.Contains(w.seen, resource.EndpointRollingBack) || len(w.real) != 3 {
		t.Errorf("%v with %v", w.seen, w.real)
	}
}

// EP-4, EP-6: after a restart the endpoint is SystemUpdating until its instances
// are back; without any it is OutOfService until one is.
func TestRestartAndLoss(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int{"a": 2}, nil)
	w.settle()
	w.units, w.fresh = map[string]Unit{}, true
	w.look()
	if w.e.Status != resource.EndpointSystemUpdating {
		t.Fatalf("%s after a restart", w.e.Status)
	}
	w.settle()
	if w.e.Status != resource.EndpointInService || len(w.real) != 2 {
		t.Fatalf("%s with %v", w.e.Status, w.units)
	}
	w.fail("i1", "it crashed")
	w.look()
	if w.e.Status != resource.EndpointInService {
		t.Errorf("%s with one instance left", w.e.Status)
	}
	w.settle()
	for _, id := range w.ids(Ready) {
		w.fail(id, "they crashed")
	}
	w.look()
	if w.e.Status != resource.EndpointOutOfService {
		t.Errorf("%s with none left", w.e.Status)
	}
	w.settle()
	if w.e.Status != resource.EndpointInService || w.e.FailureReason != "" || len(w.real) != 2 {
		t.Errorf("%s with %v", w.e.Status, w.units)
	}
}

// EP-30 and scale to zero: a variant without instances is in service.
func TestZero(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int{"a": 0}, nil)
	w.settle()
	if w.e.Status != resource.EndpointInService || len(w.real) != 0 {
		t.Fatalf("%s", w.e.Status)
	}
	w.must(resource.Resized{Variant: "a", Count: 1})
	w.look()
	if w.e.Status != resource.EndpointInService {
		t.Errorf("%s while it wakes", w.e.Status)
	}
	w.settle()
	if w.ready(1) != 1 {
		t.Errorf("%d instances", w.ready(1))
	}
}

// No sequence of calls, crashes and failures leads to an illegal move, to an
// instance of two owners or of none, or to an endpoint that never settles.
func TestAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, map[string]int{"a": rapid.IntRange(0, 3).Draw(t, "a"), "b": rapid.IntRange(0, 2).Draw(t, "b")}, nil)
		policies := []resource.DeploymentConfig{
			{},
			{BlueGreen: &resource.BlueGreen{Type: resource.Canary, Wait: 2, Canary: &resource.Capacity{Percent: true, Value: 20}}},
			{BlueGreen: &resource.BlueGreen{Type: resource.Linear, Wait: 1, Linear: &resource.Capacity{Percent: true, Value: 40}}},
			{Rolling: &resource.Rolling{Batch: resource.Capacity{Percent: true, Value: 50}, Wait: 1}},
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 14).Draw(t, "step") {
			case 0:
				w.apply(resource.UpdateAsked{
					Fleet:      fleetOf("c", map[string]int{"a": rapid.IntRange(0, 3).Draw(t, "n"), "c": 1}),
					Deployment: rapid.SampledFrom(policies).Draw(t, "policy"),
				})
			case 1:
				w.apply(resource.ScaleAsked{Variants: []resource.FleetVariant{{Name: "a", Weight: 2, Count: rapid.IntRange(0, 3).Draw(t, "n")}}})
			case 2:
				w.apply(resource.MaintenanceBegan{ReplaceAll: true})
			case 3: // the server was killed; what ran goes on or does not
				w.units, w.fresh = map[string]Unit{}, true
			case 4, 5:
				if ids := w.ids(Starting, Ready); len(ids) > 0 {
					w.fail(rapid.SampledFrom(ids).Draw(t, "victim"), "it crashed")
				}
			case 6:
				if ids := w.ids(Ready); len(ids) > 0 {
					w.units[rapid.SampledFrom(ids).Draw(t, "victim")] = Unit{State: Sick, Reason: "no ping"}
				}
			case 7:
				w.guard = rapid.SampledFrom([]string{"", "errors"}).Draw(t, "guard")
			case 8:
				w.now = w.now.Add(time.Second)
			case 9, 10: // a node is drained
				if ids := w.ids(Starting, Ready); len(ids) > 0 {
					w.leave(rapid.SampledFrom(ids).Draw(t, "leaves"))
				}
			case 11: // a node is gone
				if ids := w.ids(Starting, Ready); len(ids) > 0 {
					w.lose(rapid.SampledFrom(ids).Draw(t, "victim"))
				}
			default:
				w.look()
				w.advance()
			}
			owned := map[string]bool{}
			for _, i := range w.e.Instances {
				if owned[i.ID] {
					t.Fatalf("%s is owned twice", i.ID)
				}
				owned[i.ID] = true
			}
			for id := range w.real {
				if !owned[id] {
					t.Fatalf("%s runs and nobody owns it", id)
				}
			}
		}
		w.guard = ""
		w.settle()
		if w.e.Status.Busy() {
			t.Fatalf("it stays %s: %+v", w.e.Status, w.e)
		}
		w.must(resource.DeleteAsked{Force: true})
		w.settle()
		if !w.gone || len(w.real) != 0 {
			t.Fatalf("%v run after the deletion", w.real)
		}
	})
}
