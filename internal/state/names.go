package state

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// nameIndex holds the names of resources in memory, so that those which contain a part are
// found by looking through text, a hundred times faster than through rows. It knows at
// least every name that is in the database and perhaps some that are not any more: what
// it finds must still be looked for there.
//
// Every name that is inserted since the store was opened is added before its commit;
// those from before come with the first question.
type nameIndex struct {
	mu sync.Mutex
	of map[nameGroup]*nameList
}

type nameGroup struct {
	region string
	kind   resource.Kind
}

// nameList is the names of one group, each between two newlines. What is in text never
// changes, so it may be read without the lock.
type nameList struct {
	text   []byte
	loaded bool // holds the names from before the opening too
	limit  int  // the length from which on it is to be made anew
}

// slack is how many bytes of names that are gone may be kept in any case.
const slack = 1 << 20

func newNames() *nameIndex { return &nameIndex{of: map[nameGroup]*nameList{}} }

func (n *nameIndex) list(g nameGroup) *nameList {
	l := n.of[g]
	if l == nil {
		l = &nameList{text: []byte{'\n'}}
		n.of[g] = l
	}
	return l
}

func (l *nameList) add(name string) {
	l.text = append(append(l.text, name...), '\n')
}

// add notes a name that is about to be committed.
func (n *nameIndex) add(g nameGroup, name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list(g).add(name)
}

// containing gives the names that contain a part, or ok = false when there are more
// than most.
func (n *nameIndex) containing(tx *Tx, g nameGroup, part string, most int) (found []string, ok bool, err error) {
	if bytes.IndexByte([]byte(part), '\n') >= 0 {
		return nil, true, nil
	}
	text, err := n.load(tx, g)
	if err != nil {
		return nil, false, err
	}
	for {
		at := bytes.Index(text, []byte(part))
		if at < 0 {
			return found, true, nil
		}
		if len(found) == most {
			return nil, false, nil
		}
		from := bytes.LastIndexByte(text[:at], '\n') + 1
		to := at + bytes.IndexByte(text[at:], '\n')
		found = append(found, string(text[from:to]))
		text = text[to:]
	}
}

// load gives all names of a group.
func (n *nameIndex) load(tx *Tx, g nameGroup) ([]byte, error) {
	n.mu.Lock()
	l := n.list(g)
	text, loaded := l.text, l.loaded
	n.mu.Unlock()
	if loaded {
		return text, nil
	}
	var before nameList
	if err := before.read(tx, g); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !l.loaded {
		l.text, l.loaded = append(l.text, before.text...), true
		l.limit = 2*len(l.text) + slack
	}
	return l.text, nil
}

func (l *nameList) read(tx *Tx, g nameGroup) error {
	return tx.each(func(s scanner) error {
		var name string
		if err := s.Scan(&name); err != nil {
			return fmt.Errorf("read the names: %w", err)
		}
		l.add(name)
		return nil
	}, "SELECT name FROM resources WHERE region = ? AND kind = ?", g.region, string(g.kind))
}

// tidy makes lists anew that have grown by names which are gone. It is called by the
// one writer between its transactions, so that nobody adds meanwhile. A list that cannot
// be read now stays as it is: the next transaction tells what is wrong.
func (n *nameIndex) tidy(ctx context.Context, ses *session) {
	for _, g := range n.grown() {
		anew := nameList{text: []byte{'\n'}, loaded: true}
		if err := anew.read(&Tx{ctx: ctx, ses: ses}, g); err != nil {
			return
		}
		anew.limit = 2*len(anew.text) + slack
		n.mu.Lock()
		n.of[g] = &anew
		n.mu.Unlock()
	}
}

func (n *nameIndex) grown() (all []nameGroup) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for g, l := range n.of {
		if l.limit == 0 && len(l.text) > slack { // nobody has asked for them
			l.limit = slack
		}
		if l.limit > 0 && len(l.text) > l.limit {
			all = append(all, g)
		}
	}
	return all
}
