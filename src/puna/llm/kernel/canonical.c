// exp, log, sine and cosine in double precision from basic operations, for the rotary embedding only.
#include "canonical.h"

static double double_of(uint64_t bits) { double x; memcpy(&x, &bits, 8); return x; }
static uint64_t bits_of_double(double x) { uint64_t bits; memcpy(&bits, &x, 8); return bits; }

static const double TO_INTEGER = 6755399441055744.0;  // 1.5 * 2^52: adding and subtracting it rounds to even

// Taylor series after reduction to |r| <= ln(2)/2. |x| < 700.
double canonical_exp(double x) {
  double n = (x * 1.4426950408889634 + TO_INTEGER) - TO_INTEGER;
  double r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
  double term = 1.0, sum = 1.0;
  for (int i = 1; i < 20; i++) {
    term = term * r / (double)i;
    sum = sum + term;
  }
  return sum * double_of((uint64_t)((int64_t)n + 1023) << 52);
}

// log(m * 2^e) = 2 atanh((m - 1) / (m + 1)) + e ln(2), 1 <= m < 2. x positive, finite and normal.
double canonical_log(double x) {
  uint64_t bits = bits_of_double(x);
  int exponent = (int)(bits >> 52) - 1023;
  double m = double_of((bits & 0xfffffffffffffu) | (uint64_t)1023 << 52);
  double z = (m - 1.0) / (m + 1.0), z2 = z * z, power = z, sum = 0.0;
  for (int i = 1; i < 80; i += 2) {
    sum = sum + power / (double)i;
    power = power * z2;
  }
  return 2.0 * sum + (double)exponent * 0.69314718055994530942;
}

// Taylor series after reduction to |r| <= pi/4. 0 <= x < 2^31: pi/2 in two parts keeps the reduction exact there.
void canonical_sin_cos(double x, double *sine, double *cosine) {
  double n = (x * 0.63661977236758134308 + TO_INTEGER) - TO_INTEGER;
  double r = (x - n * 1.57079632673412561417e+00) - n * 6.07710050650619224932e-11;
  double r2 = r * r, s = r, s_term = r, c = 1.0, c_term = 1.0;
  for (int i = 1; i < 12; i++) {
    s_term = -s_term * r2 / (double)(2 * i * (2 * i + 1));
    s = s + s_term;
    c_term = -c_term * r2 / (double)((2 * i - 1) * (2 * i));
    c = c + c_term;
  }
  switch ((int64_t)n & 3) {
    case 0: *sine = s, *cosine = c; break;
    case 1: *sine = c, *cosine = -s; break;
    case 2: *sine = -s, *cosine = -c; break;
    default: *sine = -c, *cosine = s;
  }
}
