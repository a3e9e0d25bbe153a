package capacity

import (
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// sized is a claim as this host can carry it out.
type sized struct {
	instances int
	each      vector // what an instance may use
	reserve   vector // what it reserves, without GPUs
	total     vector // what all reserve together, with GPUs
	note      string
}

// size fits a claim to the host, or says why it can never run.
func (p *Pool) size(c Claim) (sized, error) {
	if c.Instances < 1 {
		return sized{}, fault.New(fault.Invalid, "%s claims %d instances, and needs at least one", c.Who, c.Instances)
	}
	want := c.Each.vector()
	n := c.Instances
	if most := int(p.host[instances]); n > most && p.policy != Refuse {
		n = most
	}
	has := p.portion(n)
	if err := p.refusal(c.Each, want, n); err != nil {
		return sized{}, err
	}
	s := sized{instances: n, each: want.least(has)}
	s.reserve[instances] = 1
	if p.policy != Share {
		s.reserve[cpus], s.reserve[memory] = s.each[cpus], s.each[memory]
	}
	s.total = s.reserve.times(n)
	if p.policy != Share {
		s.total[gpuCount] = min(p.host[gpuCount], s.each[gpuCount]*int64(n))
	}
	s.note = p.note(c, want, s)
	return s, nil
}

// portion is what each of n instances may have at most: the host, or where it is
// reserved an equal part of it. The GPUs of a claim are shared by its instances
// where there are fewer than instances, and by nobody else.
func (p *Pool) portion(n int) vector {
	has := p.host
	if p.policy == Share {
		return has
	}
	for k := cpus; k < kinds; k++ {
		has[k] /= int64(n)
	}
	has[gpuCount] = max(has[gpuCount], min(1, p.host[gpuCount]))
	return has
}

// refusal says what could never run: under Refuse all that is larger than the host,
// and GPUs that may not be fewer under any policy.
func (p *Pool) refusal(each Need, want vector, n int) error {
	if p.policy == Refuse && int64(n) > p.host[instances] {
		return fault.New(fault.Limit, "It asks for %s, and at most %d may run at once here (max-instances).", text(instances, int64(n)), p.host[instances])
	}
	var over []kind
	for k := cpus; k < kinds; k++ {
		share := p.host[k] // in whole parts: want > host/n is the same as want*n > host
		if p.policy != Share {
			share /= int64(n)
		}
		if want[k] > share && (p.policy == Refuse || k == gpuCount && each.ExactGPUs) {
			over = append(over, k)
		}
	}
	switch {
	case over == nil:
		return nil
	case n == 1:
		return fault.New(fault.Limit, "An instance of this type needs %s, and this host has %s. Choose a smaller instance type.", want.texts(over), p.host.texts(over))
	}
	return fault.New(fault.Limit, "Each of %d instances of this type needs %s, and this host has %s. Choose a smaller instance type or fewer instances.", n, want.texts(over), p.host.texts(over))
}

// note says what was made smaller, for the user's eyes; nothing when all is as
// claimed.
func (p *Pool) note(c Claim, want vector, s sized) string {
	var notes []string
	if s.instances < c.Instances {
		notes = append(notes, text(instances, int64(s.instances))+" may run, where "+number(instances, int64(c.Instances))+" were asked for: that is max-instances")
	}
	var less []kind
	for k := cpus; k < kinds; k++ {
		if s.each[k] < want[k] {
			less = append(less, k)
		}
	}
	if less != nil {
		where := ": this host has "
		if p.policy != Share && s.instances > 1 {
			where = ": for " + text(instances, int64(s.instances)) + " this host has "
		}
		notes = append(notes, "an instance may use "+s.each.texts(less)+", where its type has "+want.texts(less)+where+p.host.texts(less))
	}
	if p.policy != Share && s.total[gpuCount] < s.each[gpuCount]*int64(s.instances) {
		notes = append(notes, text(instances, int64(s.instances))+" share "+text(gpuCount, s.total[gpuCount]))
	}
	return strings.Join(notes, "; ")
}
