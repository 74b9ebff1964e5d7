#pragma once
// Ranks that are processes, on one machine or many, started by mpirun. Needs phonaut::mpi, which is built where an MPI
// is found (PHONAUT_MPI).
#include <functional>

#include "phonaut/core/communicator.hpp"

namespace phonaut {

/// Whether mpirun, or another launcher that it can tell, has started this process.
bool started_by_mpi() noexcept;

/// Calls work(ranks) in each process that mpirun has started; without mpirun, in this one alone and without MPI.
/// Initialises MPI, and ends it afterwards unless the program had initialised it.
///
/// If `work` throws, the other ranks get RankError in the collective that they wait in or call next, and the exception
/// goes on from here once they have all left `work`; a rank that never calls a collective again and does not return is
/// waited for. A process that dies takes the others with it: mpirun ends them. Copies of `ranks` that outlive `work`
/// throw StateError. Throws ConfigError if MPI does not let several threads use it at once (MPI_THREAD_MULTIPLE).
void run_on_mpi(const std::function<void(Ranks)>& work);

}  // namespace phonaut
