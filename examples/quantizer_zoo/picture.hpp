#pragma once
// The zoo at a glance.
#include "measure.hpp"

/// An SVG file: rate and distortion of all settings, with a line for each family and the bound; usage and time of the
/// setting of each quantizer with most bits. `table` is an array of rows as `measured` makes them.
std::string zoo_picture(const nlohmann::json& table, const GaussianBound& bound);
