//go:build apimodel

// This file keeps the module that carries the API model in go.mod. The tag is
// never set: nothing of the SDK is compiled, only its model file is read.

package main

import _ "github.com/aws/aws-sdk-go/aws"
