"""Linear prediction: what a sample should be, by the samples around it.

Music over some milliseconds is close to an autoregressive process: a filter, the error filter,
turns it into a small noise. Samples that are missing or false are then the ones that leave the
least of that noise, which are linear equations between them and their neighbours (Janssen,
Veldhuis and Vries, "Adaptive interpolation of discrete-time signals that can be modeled as
autoregressive processes", IEEE Trans. ASSP 34, 1986).
"""

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.linalg

__all__ = ["Model", "error_filter", "error_filters"]

type Plane = npt.NDArray[np.float64]
type Places = npt.NDArray[np.intp]

# A floor 60 dB under the music: without it the model of a recording with nothing above 16 kHz
# believes that band to be silent for certain, and gaps of more than a few samples ring.
_FLOOR = 1e-6
_SILENCE = 1e-20


def error_filter(autocorrelation: Plane) -> Plane:
    """The filter, first tap 1, that leaves least of sound with this autocorrelation from lag 0."""
    lags = np.array(autocorrelation, dtype=np.float64)
    lags[0] = lags[0] * (1 + _FLOOR) + _SILENCE
    return np.concatenate(([1.0], -scipy.linalg.solve_toeplitz(lags[:-1], lags[1:])))


def error_filters(autocorrelations: Plane) -> Plane:
    """The same for many at once, (autocorrelations, lags)."""
    lags = np.array(autocorrelations, dtype=np.float64)
    lags[:, 0] = lags[:, 0] * (1 + _FLOOR) + _SILENCE
    at = np.arange(lags.shape[1] - 1)
    systems = lags[:, np.abs(at[:, np.newaxis] - at)]
    taps = np.linalg.solve(systems, lags[:, 1:, np.newaxis])[:, :, 0]
    return np.concatenate((np.ones((len(lags), 1)), -taps), axis=1)


class Model:
    """The predictor of a stretch of sound, fitted under a Hann window."""

    def __init__(self, sound: Plane, order: int) -> None:
        size = scipy.fft.next_fast_len(len(sound) + order, real=True)
        spectrum = scipy.fft.rfft(sound * np.hanning(len(sound) + 2)[1:-1], size)
        power = spectrum.real**2 + spectrum.imag**2
        self.order = order
        self.taps = error_filter(scipy.fft.irfft(power, size)[: order + 1])
        self.normal = np.correlate(self.taps, self.taps, "full")[order:]

    def errors(self, sound: Plane) -> Plane:
        """The prediction error of each sample from the `order`-th on."""
        return np.convolve(sound, self.taps, "valid")

    def strain(self, sound: Plane) -> Plane:
        """Half the slope of the squared error by each sample, but `order` at each end."""
        both = np.concatenate((self.normal[:0:-1], self.normal))
        return np.convolve(sound, both, "valid")

    def equations(self, places: Places) -> Plane:
        """The matrix of the squared error's curvature over these places (ascending)."""
        apart = np.abs(places[:, np.newaxis] - places)
        return np.where(apart <= self.order, self.normal[np.minimum(apart, self.order)], 0.0)
