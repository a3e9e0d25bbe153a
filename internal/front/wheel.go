package front

import (
	"math/bits"
	"time"
)

// The wheel keeps deadlines in ticks. Most deadlines are moved before they come,
// and mostly farther away: that costs nothing, a timer is looked at when its old
// slot comes and put farther then. Slots that are farther than one turn are not
// needed either: such a timer is looked at once a turn.
const (
	tick       = 16 * time.Millisecond
	wheelSlots = 1024
)

// timer is a deadline of something; the zero value is none.
type timer struct {
	deadline time.Duration // since the wheel's beginning; 0 is none
	at       int64         // the tick of its slot
	placed   bool
	next     *timer
	prev     *timer
	owner    expirer
}

// expirer is told that its deadline has passed.
type expirer interface{ expire() }

// wheel is not for concurrent use.
type wheel struct {
	slots [wheelSlots]*timer
	used  [wheelSlots / 64]uint64 // a bit for each slot that is not empty
	now   int64                   // the tick up to which all slots have been looked at
}

// set gives t a deadline, or none with 0.
func (w *wheel) set(t *timer, deadline time.Duration) {
	t.deadline = deadline
	if deadline == 0 {
		return
	}
	if want := w.slotOf(deadline); !t.placed || want < t.at {
		w.remove(t)
		w.place(t, want)
	}
}

// slotOf is the tick at which a deadline is looked at.
func (w *wheel) slotOf(deadline time.Duration) int64 {
	at := int64((deadline + tick - 1) / tick)
	return min(max(at, w.now+1), w.now+wheelSlots-1)
}

func (w *wheel) place(t *timer, at int64) {
	i := at % wheelSlots
	t.at, t.placed, t.prev, t.next = at, true, nil, w.slots[i]
	if t.next != nil {
		t.next.prev = t
	}
	w.slots[i] = t
	w.used[i/64] |= 1 << (i % 64)
}

// remove takes t out, before its owner is forgotten.
func (w *wheel) remove(t *timer) {
	if !t.placed {
		return
	}
	i := t.at % wheelSlots
	if t.prev != nil {
		t.prev.next = t.next
	} else if w.slots[i] = t.next; t.next == nil {
		w.used[i/64] &^= 1 << (i % 64)
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.placed, t.prev, t.next = false, nil, nil
}

// turn expires what is due at the time now.
func (w *wheel) turn(now time.Duration) {
	until := int64(now / tick)
	if until-w.now > wheelSlots {
		w.now = until - wheelSlots // all slots are looked at once
	}
	for w.now < until {
		w.now++
		for t := w.slots[w.now%wheelSlots]; t != nil; t = w.slots[w.now%wheelSlots] {
			w.remove(t)
			switch {
			case t.deadline == 0:
			case t.deadline > now:
				w.place(t, w.slotOf(t.deadline))
			default:
				t.deadline = 0
				t.owner.expire()
			}
		}
	}
}

// wait is how long nothing is due, or -1 for ever.
func (w *wheel) wait(now time.Duration) time.Duration {
	for d := int64(1); d < wheelSlots; {
		i := (w.now + d) % wheelSlots
		if rest := w.used[i/64] >> (i % 64); rest != 0 {
			due := time.Duration(w.now+d+int64(bits.TrailingZeros64(rest))) * tick
			return max(due-now, 0)
		}
		d += 64 - i%64
	}
	return -1
}
