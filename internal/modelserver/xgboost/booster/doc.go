// Package booster reads trained XGBoost models and predicts with them as
// XGBoost's own library does.
//
// A model is read from any format that XGBoost writes: JSON, UBJSON, and the
// binary format that was the default before release 2.0. Boosters gbtree, dart
// and gblinear are known, with the objectives listed in objective.go; anything
// else is refused when the model is loaded, by its name. Model files are
// taken for strangers' bytes: a broken one gives an error that says what is
// wrong with it.
//
// Predictions follow Booster.predict of XGBoost 1.7 and later: float32
// throughout, trees added in their order, a missing value takes the default
// side of a split. All trees count, except when the model carries the
// attribute best_ntree_limit, which early stopping wrote before release 2.0:
// AWS's XGBoost container honours that attribute and so does this server. The
// attribute best_iteration alone, as later releases write it, changes nothing,
// neither there nor here.
//
// The package leaves reading requests and writing answers to others. It imports
// only its neighbour scan and the standard library.
package booster
