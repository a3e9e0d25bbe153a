package front

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// alarm notes when it expires.
type alarm struct {
	timer timer
	rings int
}

func (a *alarm) expire() { a.rings++ }

// A timer expires once, at the first turn that is not before its deadline, however
// often the deadline was moved.
func TestWheel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var w wheel
		alarms := make([]alarm, 8)
		want := make([]time.Duration, len(alarms)) // 0 is none
		rings := make([]int, len(alarms))
		for i := range alarms {
			alarms[i].timer.owner = &alarms[i]
		}
		now := time.Duration(1)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			i := rapid.IntRange(0, len(alarms)-1).Draw(t, "which")
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				want[i] = now + time.Duration(rapid.Int64Range(1, int64(time.Minute)).Draw(t, "ahead"))
				w.set(&alarms[i].timer, want[i])
			case 1:
				want[i] = 0
				w.set(&alarms[i].timer, 0)
			case 2:
				want[i] = 0
				w.remove(&alarms[i].timer)
				alarms[i].timer.deadline = 0
			default:
				if d := w.wait(now); d < 0 {
					now += time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "long"))
				} else {
					now += time.Duration(rapid.Int64Range(1, int64(time.Second)).Draw(t, "short"))
				}
				w.turn(now)
			}
			for i := range alarms {
				// What is due is seen within a tick.
				if want[i] != 0 && want[i]+tick <= now && alarms[i].rings == rings[i] && w.now == int64(now/tick) {
					t.Fatalf("timer %d was due at %v and it is %v", i, want[i], now)
				}
				if alarms[i].rings > rings[i] {
					if want[i] == 0 || want[i] > now || alarms[i].rings != rings[i]+1 {
						t.Fatalf("timer %d for %v expired at %v", i, want[i], now)
					}
					rings[i], want[i] = alarms[i].rings, 0
				}
			}
		}
	})
}
