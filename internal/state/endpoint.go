package state

import (
	"fmt"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

func endpointConfigMeta(c *resource.EndpointConfig) *resource.Meta { return &c.Meta }
func endpointMeta(e *resource.Endpoint) *resource.Meta             { return &e.Meta }

// PutEndpointConfig stores a new configuration with its tags. A name that is
// taken, in whatever case, is fault.Exists (CP-42).
func (tx *Tx) PutEndpointConfig(c resource.EndpointConfig) error {
	r, err := encode(&c, c.Meta, resource.KindEndpointConfig, "")
	if err != nil {
		return err
	}
	return tx.insertNew(r)
}

// insertNew is insert with the error of a name that is taken.
func (tx *Tx) insertNew(r row) error {
	created, err := tx.insert(r)
	if err == nil && !created {
		err = fault.New(fault.Exists, "There is already a resource %s in %s.", r.Name, r.Region)
	}
	return err
}

// EndpointConfig reads a configuration, or gives fault.NotFound. key.Kind is not
// looked at.
func (tx *Tx) EndpointConfig(key resource.Key) (resource.EndpointConfig, error) {
	key.Kind = resource.KindEndpointConfig
	r, err := tx.load(key)
	if err != nil {
		return resource.EndpointConfig{}, err
	}
	return decode(r, endpointConfigMeta)
}

// DeleteEndpointConfig removes a configuration and its tags, or gives
// fault.NotFound. Endpoints that use it keep their copy (CP-45).
func (tx *Tx) DeleteEndpointConfig(key resource.Key) error {
	key.Kind = resource.KindEndpointConfig
	return tx.remove(key)
}

// ListEndpointConfigs gives one page of configurations and, when there are more,
// the cursor of the next page.
func (tx *Tx) ListEndpointConfigs(q Query) ([]resource.EndpointConfig, *Cursor, error) {
	return list(tx, resource.KindEndpointConfig, q, endpointConfigMeta)
}

// CreateEndpoint stores a new endpoint with its tags. A name that is taken, in
// whatever case, is fault.Exists (CP-50).
func (tx *Tx) CreateEndpoint(e resource.Endpoint) error {
	r, err := encode(&e, e.Meta, resource.KindEndpoint, string(e.Status))
	if err != nil {
		return err
	}
	return tx.insertNew(r)
}

// Endpoint reads an endpoint, or gives fault.NotFound. key.Kind is not looked at.
func (tx *Tx) Endpoint(key resource.Key) (resource.Endpoint, error) {
	key.Kind = resource.KindEndpoint
	r, err := tx.load(key)
	if err != nil {
		return resource.Endpoint{}, err
	}
	return decode(r, endpointMeta)
}

// SaveEndpoint stores what became of an endpoint. It is fault.Conflict when the
// stored revision is no longer e.Rev.
func (tx *Tx) SaveEndpoint(e resource.Endpoint) error {
	r, err := encode(&e, e.Meta, resource.KindEndpoint, string(e.Status))
	if err != nil {
		return err
	}
	return tx.save(r)
}

// DeleteEndpoint removes an endpoint and its tags, or gives fault.NotFound.
func (tx *Tx) DeleteEndpoint(key resource.Key) error {
	key.Kind = resource.KindEndpoint
	return tx.remove(key)
}

// ListEndpoints gives one page of endpoints, in short, and, when there are more, the
// cursor of the next page.
func (tx *Tx) ListEndpoints(q Query) ([]Summary, *Cursor, error) {
	return summaries(tx, resource.KindEndpoint, q)
}

// EndpointKeys gives the folded keys of all endpoints of every region, ordered by
// region and name, as Watch would give them.
func (tx *Tx) EndpointKeys() ([]resource.Key, error) {
	var keys []resource.Key
	err := tx.each(func(s scanner) error {
		key := resource.Key{Kind: resource.KindEndpoint}
		if err := s.Scan(&key.Region, &key.Name); err != nil {
			return fmt.Errorf("read the endpoints: %w", err)
		}
		keys = append(keys, key)
		return nil
	}, `SELECT region, name_folded FROM resources WHERE kind = ? ORDER BY region, name_folded`, string(resource.KindEndpoint))
	return keys, err
}
