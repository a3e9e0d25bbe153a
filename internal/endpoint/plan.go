// Package endpoint decides what a hosted endpoint needs next: which instances to
// start and to stop, how traffic moves from an old fleet to a new one, and when
// the endpoint's status changes. It is pure: rows and observations come in,
// decisions go out, and the room control carries them out.
package endpoint

import (
	"fmt"
	"math"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// UnitState is what the controller sees of an instance that an endpoint owns.
type UnitState int

// The states. An instance that is in the row and not in the observation is Absent:
// this process has not started it, or not taken it over.
const (
	Absent   UnitState = iota
	Starting           // on its way to being ready
	Ready              // serves
	Sick               // was ready and does not answer pings any more
	Failed             // ended, or never became ready; nothing of it runs
	Stopping           // was told to stop
	Gone               // was told to stop, and nothing of it runs
)

// Unit is one instance as it is seen.
type Unit struct {
	State UnitState
	// Reason says why it failed.
	Reason string
	// Leaving says that its runtime wants it gone; until then it goes on (EP-4).
	Leaving bool
	// Lost says, of one that failed, that its runtime took it away. It is nobody's
	// fault, and another takes its place.
	Lost bool
}

// Observation is what the controller sees beside the row.
type Observation struct {
	Units map[string]Unit // by the instance's ID
	// Fresh says that this process looks at the endpoint for the first time.
	Fresh bool
	// RetryAt is when a variant may start another instance after some have failed,
	// and Failures how many did in a row; by fleet and variant.
	RetryAt  map[Group]time.Time
	Failures map[Group]int
	// Guard is why the new fleet must not take over, "" when it may (EP-44).
	Guard string
	// Blocked is why a fleet cannot be prepared, by generation: its image, its model.
	Blocked map[int]string
}

// Group is a variant of one fleet.
type Group struct {
	Generation int
	Variant    string
}

// Decision is what to do. All of it may be done, or any part: the next look
// decides anew.
type Decision struct {
	// Start are instances of the row that this process must start or take over.
	Start []string
	// Order are groups that need an instance more each time they are named.
	Order []Group
	// Stop are instances to drain and stop.
	Stop []string
	// Gone are instances to take out of the row.
	Gone []string
	// Event changes the row; nil does not.
	Event resource.EndpointEvent
	// Remove says that the endpoint is deleted: nothing of it is left but its row.
	Remove bool
	// Again is when to look again although nothing happened; 0 is never.
	Again time.Duration
}

// creationPatience is how long a creation may take in all before it fails; each
// container's own limit is nearer (CC-22).
const creationPatience = 60 * time.Minute

// Patience is how long an update may take unless its policy says otherwise.
const Patience = 60 * time.Minute

// giveUpAfter is how many instances in a row may fail while the platform replaces
// them, before it leaves the old ones where they are.
const giveUpAfter = 3

// Plan decides what an endpoint needs next. It is pure and may be asked again at
// any time: the same row and the same observation give the same decision.
func Plan(e resource.Endpoint, seen Observation, now time.Time) Decision {
	p := &planner{e: e, seen: seen, now: now}
	p.sort()
	switch e.Status {
	case resource.EndpointDeleting:
		p.stopAll()
		p.d.Remove = len(e.Instances) == 0
	case resource.EndpointFailed:
		p.stopAll()
	default:
		p.staff()
		p.d.Event = p.event()
	}
	return p.d
}

// planner is one Plan under way.
type planner struct {
	e    resource.Endpoint
	seen Observation
	now  time.Time
	d    Decision
	have map[Group]*tally
}

// tally counts the instances of a group.
type tally struct {
	// old are to be replaced: of an older epoch, or leaving. Both are starting, ready or
	// absent, and not sick, failed or stopping.
	old, fresh []string
	ready      int
	oldReady   int
	leaving    bool   // some of old are
	failed     string // why one failed, "" when none did
	lost       string // why one was lost
	busy       int    // still stopping
}

func (t *tally) all() int { return len(t.old) + len(t.fresh) }

// sort puts the instances into their groups and notes what is gone.
func (p *planner) sort() {
	p.have = map[Group]*tally{}
	for _, i := range p.e.Instances {
		g := Group{i.Generation, i.Variant}
		t := p.have[g]
		if t == nil {
			t = &tally{}
			p.have[g] = t
		}
		u := p.seen.Units[i.ID]
		switch u.State {
		case Gone:
			p.d.Gone = append(p.d.Gone, i.ID)
			continue
		case Failed:
			p.d.Gone = append(p.d.Gone, i.ID)
			if u.Lost {
				t.lost = u.Reason
			} else {
				t.failed = u.Reason
			}
			continue
		case Sick:
			t.failed = u.Reason
			p.d.Stop = append(p.d.Stop, i.ID)
			continue
		case Stopping:
			t.busy++
			continue
		}
		t.leaving = t.leaving || u.Leaving
		isOld := i.Epoch < p.e.Epoch || u.Leaving
		if u.State == Ready {
			t.ready++
			if isOld {
				t.oldReady++
			}
		}
		if isOld {
			t.old = append(t.old, i.ID)
		} else {
			t.fresh = append(t.fresh, i.ID)
		}
	}
}

// of gives a group's tally, never nil.
func (p *planner) of(g Group) *tally {
	if t := p.have[g]; t != nil {
		return t
	}
	return &tally{}
}

// stopAll ends every instance.
func (p *planner) stopAll() {
	for _, t := range p.have {
		p.d.Stop = append(p.d.Stop, t.old...)
		p.d.Stop = append(p.d.Stop, t.fresh...)
	}
}

// staff starts and stops instances until every group has what it should.
func (p *planner) staff() {
	known := map[Group]bool{}
	for _, f := range []*resource.Fleet{p.e.Current, p.e.Pending} {
		if f == nil {
			continue
		}
		for _, v := range f.All() {
			g := Group{f.Generation, v.Name}
			known[g] = true
			if p.mixes(f) {
				p.staffMix(g)
				continue
			}
			p.staffGroup(g, p.want(f, v))
		}
	}
	for g, t := range p.have { // fleets that are no more
		if !known[g] {
			p.d.Stop = append(append(p.d.Stop, t.old...), t.fresh...)
		}
	}
}

// want is how many instances of a variant there should be now.
func (p *planner) want(f *resource.Fleet, v *resource.FleetVariant) int {
	isPending := p.e.Pending != nil && f.Generation == p.e.Pending.Generation
	rolling := p.e.LastDeployment != nil && p.e.LastDeployment.Rolling != nil && p.e.Current != nil
	switch p.e.Status {
	case resource.EndpointUpdating:
		if p.e.Change.Kind != resource.ChangeDeploy || !rolling {
			return v.Count
		}
		if !isPending {
			return ceil(v.Count, 1-p.e.Change.Share)
		}
		if p.leaving() { // the last batch's old instances still run
			return ceil(v.Count, p.e.Change.Share)
		}
		return ceil(v.Count, p.target())
	case resource.EndpointRollingBack:
		if isPending {
			return p.rollbackWant(v, rolling)
		}
	}
	return v.Count
}

// rollbackWant keeps the new instances of a rolling update until the old ones are
// back; a blue/green one has its old fleet whole.
func (p *planner) rollbackWant(v *resource.FleetVariant, rolling bool) int {
	if !rolling || p.complete(p.e.Current) {
		return 0
	}
	return ceil(v.Count, p.e.Change.Share)
}

// leaving reports whether a rolling update's old fleet is larger than it should be.
func (p *planner) leaving() bool {
	for _, v := range p.e.Current.All() {
		t := p.of(Group{p.e.Current.Generation, v.Name})
		if t.all()+t.busy > ceil(v.Count, 1-p.e.Change.Share) {
			return true
		}
	}
	return false
}

// target is the part of a rolling update's fleet that is to be new next.
func (p *planner) target() float64 {
	total := 0
	for _, v := range p.e.Pending.Variants {
		total += v.Count
	}
	return math.Min(1, p.e.Change.Share+p.e.LastDeployment.Rolling.Batch.Of(total))
}

func ceil(n int, part float64) int {
	return int(math.Ceil(float64(n)*part - 1e-9))
}

// mixes reports whether a fleet is the new part of the mix that serves after a
// rollback that failed (EP-9).
func (p *planner) mixes(f *resource.Fleet) bool {
	return p.e.Status == resource.EndpointUpdateRollbackFailed && p.e.Pending != nil && f.Generation == p.e.Pending.Generation
}

// staffMix keeps what is there and adds nothing. What leaves may go when the old
// fleet is whole.
func (p *planner) staffMix(g Group) {
	t := p.of(g)
	p.resume(t)
	if p.complete(p.e.Current) {
		p.d.Stop = append(p.d.Stop, t.old...)
	}
}

// resume starts or takes over what this process does not know.
func (p *planner) resume(t *tally) {
	for _, ids := range [][]string{t.old, t.fresh} {
		for _, id := range ids {
			if p.seen.Units[id].State == Absent {
				p.d.Start = append(p.d.Start, id)
			}
		}
	}
}

// staffGroup starts what a group lacks and stops what it has too many.
func (p *planner) staffGroup(g Group, want int) {
	t := p.of(g)
	p.resume(t)
	if len(t.old) > 0 {
		p.replace(g, t, want)
		return
	}
	switch lack := want - len(t.fresh); {
	case lack > 0 && p.mayStart(g):
		for range lack {
			p.d.Order = append(p.d.Order, g)
		}
	case lack < 0:
		p.d.Stop = append(p.d.Stop, p.surplus(t.fresh, -lack)...)
	}
}

// replace puts new instances in the place of old ones, one at a time, so that
// never fewer than before are ready (EP-4).
func (p *planner) replace(g Group, t *tally, want int) {
	spare := t.ready > want || t.all() > want && t.oldReady < len(t.old)
	switch {
	case spare || t.all() > want+1:
		p.d.Stop = append(p.d.Stop, p.surplus(t.old, 1)...)
	case t.all() <= want && p.mayStart(g):
		for range max(1, want-t.all()) {
			p.d.Order = append(p.d.Order, g)
		}
	}
}

// mayStart reports whether a group may start an instance now, and otherwise asks to
// be looked at again.
func (p *planner) mayStart(g Group) bool {
	if p.seen.Blocked[g.Generation] != "" {
		return false
	}
	at := p.seen.RetryAt[g]
	if !p.now.Before(at) {
		return true
	}
	p.lookAgain(at)
	return false
}

// surplus chooses n instances to stop: those that do not serve first.
func (p *planner) surplus(ids []string, n int) []string {
	var chosen []string
	for _, wantReady := range []bool{false, true} {
		for i := len(ids) - 1; i >= 0 && len(chosen) < n; i-- {
			if (p.seen.Units[ids[i]].State == Ready) == wantReady {
				chosen = append(chosen, ids[i])
			}
		}
	}
	return chosen
}

// complete reports whether all variants of a fleet have what they should, ready.
func (p *planner) complete(f *resource.Fleet) bool {
	for _, v := range f.All() {
		if p.of(Group{f.Generation, v.Name}).ready < v.Count {
			return false
		}
	}
	return true
}

// broken is why a fleet cannot become complete, "" when nothing speaks against it.
func (p *planner) broken(f *resource.Fleet) string {
	if why := p.seen.Blocked[f.Generation]; why != "" {
		return why
	}
	for _, v := range f.All() {
		if why := p.of(Group{f.Generation, v.Name}).failed; why != "" {
			return why
		}
	}
	return ""
}

// lookAgain asks for a look at a time.
func (p *planner) lookAgain(at time.Time) {
	d := max(at.Sub(p.now), time.Millisecond)
	if p.d.Again == 0 || d < p.d.Again {
		p.d.Again = d
	}
}

// overdue reports whether a time has come, and otherwise asks to be looked at then.
func (p *planner) overdue(at time.Time) bool {
	if !p.now.Before(at) {
		return true
	}
	p.lookAgain(at)
	return false
}

// tooLong is the reason of what did not end in its time.
func tooLong(what string, after time.Duration) string {
	return fmt.Sprintf("The %s did not end within %s.", what, after)
}
