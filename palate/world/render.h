// Pictures of scenes by signed distances: coverage of a pixel = clip(0.5 - distance, 0, 1). Float32 [3, 32, 32] in [0, 1].
#pragma once

#include <string>
#include <vector>

#include "palate/core/tensor.h"
#include "palate/world/scene.h"

namespace palate::world {

// Where an object stands, in pixels; pixel centres have whole coordinates.
struct Placement {
  double x = 0, y = 0, radius = 0;
};

// Signed distance (negative inside) of the point (x, y), relative to the object's centre.
float signed_distance(int shape, float x, float y, float radius);

// Places that agree with the scene's relation, all inside the picture: small objects have radius 4.5 to 5.1,
// big ones 6.9 to 7.5.
std::vector<Placement> place(const Scene& scene, Generator& generator);

Tensor render(const Scene& scene, const std::vector<Placement>& places);

// Flaws of pictures found on the web.
Tensor blurred(const Tensor& picture, double sigma);                       // Gaussian, 7 taps, edges repeated
Tensor grainy(const Tensor& picture, double sigma, Generator& generator);  // white noise, clipped to [0, 1]
// Brighter and darker bands, a sine of the given height and period in pixels, across or along the picture, clipped to [0, 1].
Tensor striped(const Tensor& picture, double height, double period, double phase, bool across);
Tensor flawed(const Tensor& picture, double share,
              Generator& generator);  // one of them, of random strength; `share`: how often the stripes

// One training example: a picture as the web would have it.
struct WebPicture {
  Tensor picture;
  std::string caption;
};
// Captions that are kept for testing are drawn again, wrong captions among them.
WebPicture web_picture(const Odds& odds, Generator& generator);

}  // namespace palate::world
