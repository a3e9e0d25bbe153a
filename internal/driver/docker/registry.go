package docker

import (
	"context"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
)

// credentials gives what the engine is to show the registry of an image, in the
// form of the API's header, or "" when there is nothing. It comes from the Docker
// configuration (DOCKER_CONFIG or ~/.docker: auths, credHelpers, credsStore) or
// from Podman's, and is read each time, because tokens run out.
func credentials(ctx context.Context, ref reference.Named) (string, error) {
	repository, err := name.NewRepository(ref.Name())
	if err != nil {
		return "", err
	}
	auth, err := authn.Resolve(ctx, authn.DefaultKeychain, repository)
	if err != nil {
		return "", err
	}
	if auth == authn.Anonymous {
		return "", nil
	}
	c, err := authn.Authorization(ctx, auth)
	if err != nil {
		return "", err
	}
	server := repository.RegistryStr()
	if server == name.DefaultRegistry {
		server = authn.DefaultAuthKey
	}
	return authconfig.Encode(registry.AuthConfig{
		Username:      c.Username,
		Password:      c.Password,
		IdentityToken: c.IdentityToken,
		RegistryToken: c.RegistryToken,
		ServerAddress: server,
	})
}
