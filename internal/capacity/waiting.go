package capacity

import (
	"fmt"
	"slices"
	"strings"
)

// maxHolders bounds how many holders a sentence names.
const maxHolders = 5

// Waiting says in a sentence what a claimant waits for: "waits for 3 more CPUs: 4 of
// 8 are taken by transform-job a, endpoint b; 2 requests are before it". It is empty
// when the claimant does not wait.
func (p *Pool) Waiting(who string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := slices.IndexFunc(p.queue, func(r *request) bool { return r.grant.who == who })
	if before < 0 {
		return ""
	}
	need, free := p.queue[before].need, p.free()
	var parts []string
	for k := range kinds {
		if short := need[k] - free[k]; short > 0 {
			parts = append(parts, fmt.Sprintf("%s more %s: %s", number(k, short), noun(k, short), p.taken(k, p.host[k]-free[k])))
		}
	}
	if parts == nil {
		return "waits for its turn: what is free is kept for " + requests(before) + " before it"
	}
	if before == 1 {
		parts = append(parts, "1 request is before it")
	} else if before > 1 {
		parts = append(parts, requests(before)+" are before it")
	}
	return "waits for " + strings.Join(parts, "; ")
}

func requests(n int) string {
	if n == 1 {
		return "the request"
	}
	return fmt.Sprintf("%d requests", n)
}

// taken says how much of a kind is taken, and by whom.
func (p *Pool) taken(k kind, n int64) string {
	var who []string
	for _, g := range p.grants {
		has := g.reserve
		has[gpuCount] = g.each[gpuCount]
		if has[k] > 0 && !slices.Contains(who, g.who) {
			who = append(who, g.who)
		}
	}
	are := "are"
	if k == memory || noun(k, n) == noun(k, 1) {
		are = "is"
	}
	others := ""
	if len(who) > maxHolders {
		others = fmt.Sprintf(" and %d others", len(who)-maxHolders)
		who = who[:maxHolders]
	}
	return fmt.Sprintf("%s of %s %s taken by %s%s", number(k, n), number(k, p.host[k]), are, strings.Join(who, ", "), others)
}
